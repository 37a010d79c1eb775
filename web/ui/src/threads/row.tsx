/** One conversation of the list: a link, how it stands, and what can be done with it. */

import type { Thread } from "@parlour/client/threads";
import type { ComponentChildren } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { moment } from "../format";
import { memo } from "../memo";
import { useSurroundings } from "../surroundings";
import { fill, Speech } from "../texts";
import { ConversationLink } from "../trouble";
import { Sign } from "./icons";
import { keep, requestsOf } from "./requests";
import type { ThreadTexts } from "./texts";

const BEFORE = 16;

interface RowProps {
  thread: Thread;
  texts: ThreadTexts;
  words: string;
  /** The branch of it that is shown, if it is. */
  shown: string;
  fresh: boolean;
  onEnter: () => void;
  onShare: (session: string) => void;
  onErase: (thread: Thread) => void;
}

export const Row = memo(function Row(props: RowProps) {
  const { thread, texts, words, shown, fresh, onEnter } = props;
  const { tag } = useContext(Speech);
  const [renames, setRenames] = useState(false);
  const row = useRef<HTMLLIElement>(null);
  const done = () => {
    setRenames(false);
    requestAnimationFrame(() => row.current?.querySelector<HTMLElement>("a")?.focus());
  };
  return (
    <li class="thread" data-fresh={fresh} ref={row}>
      {renames ? (
        <Title thread={thread} texts={texts} done={done} />
      ) : (
        <>
          <ConversationLink
            session={thread.session}
            class="thread-link"
            title={`${thread.title}\n${moment(thread.updated, tag)}`}
            aria-current={shown ? "page" : undefined}
            onEnter={onEnter}
          >
            <span class="thread-title" dir="auto">
              {marked(thread.title, words)}
            </span>
            {thread.excerpt && (
              <span class="thread-excerpt" dir="auto">
                {marked(around(thread.excerpt, words), words)}
              </span>
            )}
            <Standing {...props} />
          </ConversationLink>
          <Actions {...props} onRename={() => setRenames(true)} />
        </>
      )}
    </li>
  );
});

function Standing({ thread, fresh, texts }: RowProps) {
  const words =
    thread.doing === "asks" ? texts.needsYou : thread.doing === "works" ? texts.works : "";
  if (!words && !fresh) return null;
  return (
    <span class="thread-marks">
      {thread.doing === "asks" && <span class="thread-asks">{words}</span>}
      {thread.doing === "works" && (
        <span class="thread-works" title={words}>
          <span class="unseen">{words}</span>
        </span>
      )}
      {fresh && thread.doing !== "works" && (
        <span class="thread-fresh" title={texts.fresh}>
          <span class="unseen">{texts.fresh}</span>
        </span>
      )}
    </span>
  );
}

function Title({ thread, texts, done }: { thread: Thread; texts: ThreadTexts; done: () => void }) {
  const { chat, announce } = useSurroundings();
  const field = useRef<HTMLInputElement>(null);
  const left = useRef(false);
  useEffect(() => field.current?.select(), []);
  const leave = async (keeps: boolean) => {
    if (left.current) return;
    left.current = true;
    const title = field.current?.value.trim() ?? "";
    done();
    if (!keeps || title === thread.title) return;
    if (title) chat.watch.tell({ title: { session: thread.session, title } });
    try {
      await requestsOf(chat).rename(thread.session, title);
    } catch {
      announce(texts.failed);
    }
    chat.watch.tell();
  };
  return (
    <input
      class="thread-rename"
      aria-label={texts.newTitle}
      maxLength={200}
      dir="auto"
      defaultValue={thread.title}
      ref={field}
      onBlur={() => void leave(true)}
      onKeyDown={(event) => {
        if (event.isComposing || event.keyCode === 229) return;
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        void leave(event.key === "Enter");
      }}
    />
  );
}

type ActionsProps = RowProps & { onRename: () => void };

function Actions({ thread, texts, shown, onRename, onShare, onErase }: ActionsProps) {
  const session = shown || thread.session;
  const { chat, announce } = useSurroundings();
  const { texts: common } = useContext(Speech);
  const popover = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(false);
  const act = (work: () => void) => () => {
    popover.current?.hidePopover();
    work();
  };
  const keepAs = (kind: "markdown" | "json") =>
    act(() => keep(chat, session, kind, common.you).catch(() => announce(texts.failed)));
  const id = `thread-${thread.id}`;
  const label = fill(texts.more, { title: thread.title });
  return (
    <>
      <button
        type="button"
        class="icon-button thread-more"
        aria-label={label}
        title={label}
        popovertarget={id}
        ref={button}
      >
        <Sign name="more" />
      </button>
      <div
        id={id}
        class="menu thread-menu"
        popover="auto"
        ref={popover}
        onBeforeToggle={({ newState }) => setOpen(newState === "open")}
      >
        {open && (
          <ul>
            <Action sign="rename" onClick={act(onRename)}>
              {texts.rename}
            </Action>
            {chat.may.has("share") && (
              <Action sign="share" onClick={act(() => onShare(session))}>
                {texts.share}
              </Action>
            )}
            <Action sign="keep" onClick={keepAs("markdown")}>
              {texts.keepMarkdown}
            </Action>
            <Action sign="keep" onClick={keepAs("json")}>
              {texts.keepData}
            </Action>
            <Action sign="erase" danger onClick={act(() => onErase(thread))}>
              {texts.erase}
            </Action>
          </ul>
        )}
      </div>
    </>
  );
}

interface ActionProps {
  sign: "rename" | "share" | "keep" | "erase";
  danger?: boolean;
  onClick: () => void;
  children: ComponentChildren;
}

function Action({ sign, danger = false, onClick, children }: ActionProps) {
  return (
    <li>
      <button type="button" class={danger ? "action danger" : "action"} onClick={onClick}>
        <Sign name={sign} />
        {children}
      </button>
    </li>
  );
}

/** An excerpt that begins shortly before what was searched for. */
function around(text: string, query: string): string {
  const place = places(query)?.exec(text)?.index ?? 0;
  return place > BEFORE ? `…${text.slice(place - BEFORE)}` : text;
}

/** Where the words of a search stand, apart from accents, which only the server knows. */
function places(query: string): RegExp | null {
  const words = query.split(/\s+/).filter(Boolean);
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return words.length ? new RegExp(`(${escaped.join("|")})`, "iu") : null;
}

function marked(text: string, query: string): ComponentChildren {
  const found = places(query);
  if (!found) return text;
  const parts = text.split(found);
  return parts.map((part, index) => (index % 2 ? <mark>{part}</mark> : part));
}
