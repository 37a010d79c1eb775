/** The head: whose chat it is, whether it is connected, the other conversations, the settings. */

import { useContext, useReducer, useRef, useState } from "preact/hooks";
import { Icon } from "./icons";
import { useSurroundings } from "./surroundings";
import { Speech, useTexts } from "./texts";
import type { Look, Theme } from "./theme";
import { ConversationLink, NewConversation, Status } from "./trouble";

interface HeadProps {
  heading: string;
  look: Look;
  /** What is said to those who listen. */
  said: string;
}

export function Head({ heading, look, said }: HeadProps) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const Title = chat.standalone ? "h1" : "h2";
  return (
    <header class="head">
      <Title class="heading">{heading}</Title>
      <Status said={said} />
      <nav aria-label={texts.conversations}>
        <Menu name="visits" icon="earlier" label={texts.earlierConversations} view={VisitList} />
        <Menu
          name="settings"
          icon="look"
          label={texts.settings}
          view={() => <Settings look={look} />}
        />
        <NewConversation
          class="icon-button"
          aria-label={texts.newConversation}
          title={texts.newConversation}
        >
          <Icon name="fresh" />
        </NewConversation>
      </nav>
    </header>
  );
}

interface MenuProps {
  name: string;
  icon: "earlier" | "look";
  label: string;
  view: (props: { close: () => void }) => preact.JSX.Element;
}

/** A button and what it opens; the browser closes it again, and minds the focus. */
function Menu({ name, icon, label, view: View }: MenuProps) {
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
        {open && <View close={() => popover.current?.hidePopover()} />}
      </div>
    </>
  );
}

function VisitList({ close }: { close: () => void }) {
  const { texts, tag } = useContext(Speech);
  const { chat } = useSurroundings();
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const { all } = chat.visits;
  const clear = () => {
    chat.visits.clear();
    draw(0);
  };
  const style = { dateStyle: "medium", timeStyle: "short" } as const;
  return (
    <>
      <h2>{texts.earlierConversations}</h2>
      {all.length ? (
        <ul>
          {all.map(({ id, title, at }) => (
            <li key={id}>
              <ConversationLink
                session={id}
                class="visit"
                aria-current={id === chat.conversation.session ? "page" : undefined}
                onEnter={close}
              >
                <span dir="auto">{title || texts.conversation}</span>
                <span class="help">{new Date(at).toLocaleString(tag, style)}</span>
              </ConversationLink>
            </li>
          ))}
        </ul>
      ) : (
        <p class="help">{texts.noneYet}</p>
      )}
      {all.length > 0 && (
        <button type="button" class="quiet" onClick={clear}>
          {texts.clearList}
        </button>
      )}
    </>
  );
}

function Settings({ look }: { look: Look }) {
  const texts = useTexts();
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
    </>
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
