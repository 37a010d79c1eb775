/** The start of a conversation: whose it is, which profile answers, what one may begin with. */

import type { Offer, Starter } from "@parlour/client";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Chat } from "./chat";
import { Icon } from "./icons";
import { Logo } from "./logo";
import { Markdown } from "./markdown/markdown";
import { adopt } from "./styles";
import sheet from "./styles/start.css?inline";
import { useSurroundings } from "./surroundings";
import { useTexts } from "./texts";

interface StartProps {
  heading: string;
  /** The bot has said something already. */
  greeted: boolean;
}

export function Start({ heading, greeted }: StartProps) {
  const { chat } = useSurroundings();
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, sheet);
  }, []);
  const { offer } = chat;
  if (greeted && !offer?.starters.length && !(offer && offer.profiles.length > 1)) return null;
  return (
    <div class={greeted ? "start greeted" : "start"} ref={place}>
      {!greeted && <Greeting heading={heading} offer={offer} />}
      {offer && offer.profiles.length > 1 && <Profiles chat={chat} offer={offer} />}
      {offer && offer.starters.length > 0 && <Starters starters={offer.starters} />}
    </div>
  );
}

function Greeting({ heading, offer }: { heading: string; offer: Offer | null }) {
  const texts = useTexts();
  return (
    <>
      <Logo large />
      <p class="greeting">{heading}</p>
      {offer?.welcome ? (
        <div class="welcome prose" dir="auto">
          <Markdown text={offer.welcome} whole />
        </div>
      ) : (
        <p class="help">{texts.begin}</p>
      )}
    </>
  );
}

function Profiles({ chat, offer }: { chat: Chat; offer: Offer }) {
  const texts = useTexts();
  const chosen = chat.conversation.transcript.profile || offer.profiles[0]?.name;
  return (
    <fieldset class="profiles bare">
      <legend class="unseen">{texts.profile}</legend>
      {offer.profiles.map(({ name, label, description }) => (
        <label key={name} class="profile">
          <input
            type="radio"
            name="profile"
            class="unseen"
            checked={name === chosen}
            onChange={() => chat.choose(name)}
          />
          <span class="profile-label">
            <bdi>{label}</bdi>
          </span>
          {description && (
            <span class="help">
              <bdi>{description}</bdi>
            </span>
          )}
        </label>
      ))}
    </fieldset>
  );
}

function Starters({ starters }: { starters: Starter[] }) {
  const texts = useTexts();
  const { chat, toEnd } = useSurroundings();
  const begin = ({ label, message }: Starter) => {
    chat.conversation.say(message || label);
    toEnd();
  };
  return (
    <ul class="starters" aria-label={texts.starters}>
      {starters.map((starter) => (
        <li key={starter.label}>
          <button type="button" class="starter" onClick={() => begin(starter)}>
            <span class="starter-words">
              <span>
                <bdi>{starter.label}</bdi>
              </span>
              {starter.description && (
                <span class="help">
                  <bdi>{starter.description}</bdi>
                </span>
              )}
            </span>
            <Icon name="send" />
          </button>
        </li>
      ))}
    </ul>
  );
}
