/** The head: whose chat it is, whether it is connected, the way to others, the settings. */

import { useRef, useState } from "preact/hooks";
import { useChanges } from "./drawing";
import { Icon } from "./icons";
import { lazily } from "./lazily";
import { Logo } from "./logo";
import { useSurroundings } from "./surroundings";
import { useTexts } from "./texts";
import type { Look, Theme } from "./theme";
import { NewConversation, Status } from "./trouble";

interface HeadProps {
  heading: string;
  look: Look;
  /** What is said to those who listen. */
  said: string;
  panel: { open: boolean; toggle: () => void };
}

export function Head({ heading, look, said, panel }: HeadProps) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const Title = chat.standalone ? "h1" : "h2";
  return (
    <header class="head">
      <button
        type="button"
        class="icon-button panel-button"
        aria-label={texts.conversations}
        aria-expanded={panel.open}
        title={texts.conversations}
        onClick={panel.toggle}
      >
        <Icon name="panel" />
        {!panel.open && chat.watch.unread.size > 0 && (
          <span class="badge">
            <span class="unseen">{texts.newMessages}</span>
          </span>
        )}
      </button>
      <Logo />
      <Title class="heading">{heading}</Title>
      <ProfileName />
      <Status said={said} />
      <div class="head-tools">
        <Menu name="settings" icon="look" label={texts.settings}>
          {() => <Settings look={look} />}
        </Menu>
        <NewConversation
          class="icon-button"
          aria-label={texts.newConversation}
          title={texts.newConversation}
        >
          <Icon name="fresh" />
        </NewConversation>
      </div>
    </header>
  );
}

interface MenuProps {
  name: string;
  icon: "look";
  label: string;
  children: (close: () => void) => preact.JSX.Element;
}

/** A button and what it opens; the browser closes it again, and minds the focus. */
function Menu({ name, icon, label, children }: MenuProps) {
  const popover = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  return (
    <>
      <button
        type="button"
        class="icon-button"
        popovertarget={name}
        aria-label={label}
        title={label}
      >
        <Icon name={icon} />
      </button>
      <div
        id={name}
        class="menu"
        popover="auto"
        ref={popover}
        onBeforeToggle={({ newState }) => setOpen(newState === "open")}
      >
        {open && children(() => popover.current?.hidePopover())}
      </div>
    </>
  );
}

const Preferences = lazily(
  () => import("./panel").then(({ Preferences }) => Preferences),
  () => null,
);
const Keys = lazily(
  () => import("./keys").then(({ Keys }) => Keys),
  () => null,
);

function Settings({ look }: { look: Look }) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  useChanges(chat);
  const { offer, conversation } = chat;
  const themes: Theme[] = ["light", "dark", "system"];
  return (
    <>
      <h2>{texts.settings}</h2>
      {look.choose && (
        <fieldset class="bare">
          <legend>{texts.theme}</legend>
          <div class="segments">
            {themes.map((theme) => (
              <label>
                <input
                  type="radio"
                  name="theme"
                  checked={look.shown === theme}
                  onChange={() => look.choose?.(theme)}
                />
                <span>{texts[theme]}</span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
      <Notify />
      {offer?.settings && <Preferences key={conversation.session} settings={offer.settings} />}
      {!!offer?.keys.length && <Keys keys={offer.keys} />}
    </>
  );
}

/** Which of the app's profiles answers, where there are several. */
function ProfileName() {
  const { chat } = useSurroundings();
  const { profiles = [] } = chat.offer ?? {};
  const { profile } = chat.conversation.transcript;
  const shown = profiles.find(({ name }) => name === profile);
  if (!shown || profiles.length < 2) return null;
  return (
    <span class="profile-name" dir="auto">
      {shown.label}
    </span>
  );
}

function Notify() {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const [on, setOn] = useState(chat.attention.notifies);
  const [blocked, setBlocked] = useState(false);
  if (!("Notification" in window)) return null;
  const change = async (wanted: boolean) => {
    setOn(wanted);
    const could = await chat.attention.notify(wanted);
    setBlocked(!could);
    setOn(wanted && could);
  };
  return (
    <>
      <label class="check">
        <input
          type="checkbox"
          checked={on}
          onChange={({ currentTarget }) => void change(currentTarget.checked)}
        />
        <span>{texts.notify}</span>
      </label>
      {blocked && (
        <p class="problem" role="alert">
          {texts.notifyBlocked}
        </p>
      )}
    </>
  );
}
