/** The user's conversations: a list to search, to go through by keys, to rename and delete in. */

import type { Thread } from "@parlour/client/threads";
import { useContext, useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { adopt } from "../styles";
import { useSurroundings } from "../surroundings";
import { fill, Speech } from "../texts";
import { NewConversation } from "../trouble";
import { familyOf, learnFamily } from "./branching";
import { Erase, Share } from "./dialogs";
import { Sign } from "./icons";
import { Listing } from "./listing";
import { requestsOf } from "./requests";
import { Row } from "./row";
import { type ThreadTexts, useThreadTexts } from "./texts";
import css from "./threads.css?inline";

const TYPING = 200;
const SETTLING = 250;
const LOOK = 15_000;
const LOOK_WHILE_WORKING = 3_000;

interface PanelProps {
  /** It lies over the conversation, and is gone when one is chosen. */
  drawer: boolean;
  close: () => void;
}

export function Panel(props: PanelProps) {
  const texts = useThreadTexts();
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current) adopt(place.current, css);
  }, [texts]);
  return (
    <div class="threads" ref={place}>
      {texts && <Conversations texts={texts} {...props} />}
    </div>
  );
}

function Conversations({ texts, drawer, close }: PanelProps & { texts: ThreadTexts }) {
  const { texts: common, tag } = useContext(Speech);
  const { chat, announce } = useSurroundings();
  const listing = useListing();
  const [query, setQuery] = useState("");
  const [shares, setShares] = useState("");
  const [erases, setErases] = useState<Thread | null>(null);
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    const timer = setTimeout(() => listing.search(query.trim()), query ? TYPING : 0);
    return () => clearTimeout(timer);
  }, [listing, query]);

  const { threads, state } = listing;
  const found = listing.query && state === "ready" && listing.complete ? threads.length : -1;
  useEffect(() => {
    if (found >= 0) announce(found ? fill(texts.found, { count: found }) : texts.nothingFound);
  }, [found, listing.query]);
  const isNew = chat.watch.marks();
  const shown = chat.conversation.session;
  const family = familyOf(chat);
  const isCurrent = ({ session }: Thread) => session === shown || !!family?.has(session);
  const enter = drawer ? close : () => {};
  const gone = (thread: Thread) => {
    chat.watch.tell({ gone: thread.session });
    if (isCurrent(thread)) chat.enter();
    setErases(null);
    list.current?.querySelector<HTMLElement>("a")?.focus();
  };
  return (
    <>
      <div class="threads-head">
        <h2>{common.conversations}</h2>
        {drawer && (
          <>
            <NewConversation
              class="icon-button"
              aria-label={common.newConversation}
              title={common.newConversation}
              onEnter={close}
            >
              <Sign name="fresh" />
            </NewConversation>
            <button
              type="button"
              class="icon-button"
              aria-label={texts.close}
              title={texts.close}
              onClick={close}
            >
              <Sign name="close" />
            </button>
          </>
        )}
      </div>
      <label class="threads-search">
        <Sign name="search" />
        <input
          type="search"
          aria-label={texts.search}
          placeholder={texts.search}
          value={query}
          maxLength={200}
          enterkeyhint="search"
          onInput={({ currentTarget }) => setQuery(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape" && query) {
              event.preventDefault();
              event.stopPropagation();
              setQuery("");
            } else if (event.key === "ArrowDown") {
              event.preventDefault();
              list.current?.querySelector<HTMLElement>("a")?.focus();
            }
          }}
        />
      </label>
      <nav class="threads-list" aria-label={common.conversations} ref={list} onKeyDown={walk}>
        {grouped(threads, tag, !!listing.query).map(([name, members]) => (
          <section key={name}>
            {name && <h3>{name}</h3>}
            <ul>
              {members.map((thread) => (
                <Row
                  key={thread.id}
                  thread={thread}
                  texts={texts}
                  words={listing.query}
                  shown={isCurrent(thread) ? shown : ""}
                  fresh={isNew(thread) && !isCurrent(thread)}
                  onEnter={enter}
                  onShare={setShares}
                  onErase={setErases}
                />
              ))}
            </ul>
          </section>
        ))}
        {state === "failed" && (
          <p class="help" role="alert">
            {texts.loadFailed}{" "}
            <button type="button" class="link" onClick={() => void listing.refresh()}>
              {texts.tryAgain}
            </button>
          </p>
        )}
        {state === "ready" && !threads.length && listing.complete && (
          <p class="help">{listing.query ? texts.nothingFound : texts.none}</p>
        )}
        {!listing.complete && <p class="help">{texts.searching}</p>}
        {listing.more && <More key={threads.length} onReached={() => void listing.extend()} />}
      </nav>
      {shares && <Share session={shares} texts={texts} close={() => setShares("")} />}
      {erases && (
        <Erase
          thread={erases}
          texts={texts}
          gone={() => gone(erases)}
          close={() => setErases(null)}
        />
      )}
    </>
  );
}

/** The end of what is there: when it comes into view, more is fetched. */
function More({ onReached }: { onReached: () => void }) {
  const mark = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!mark.current) return;
    const watch = new IntersectionObserver(
      (seen) => {
        if (seen.some(({ isIntersecting }) => isIntersecting)) onReached();
      },
      { rootMargin: "600px" },
    );
    watch.observe(mark.current);
    return () => watch.disconnect();
  }, []);
  return <div class="threads-more" ref={mark} />;
}

/** The list, brought up to date whenever something may have changed. */
function useListing(): Listing {
  const { chat } = useSurroundings();
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const listing = useMemo(() => new Listing(requestsOf(chat), () => draw(0)), [chat]);
  useEffect(() => {
    let soon: ReturnType<typeof setTimeout> | undefined;
    let state = "";
    const later = () => {
      clearTimeout(soon);
      soon = setTimeout(() => {
        if (document.hidden) return;
        void listing.refresh();
        void learnFamily(chat).then(() => draw(0));
      }, SETTLING);
    };
    const look = () => {
      const { session, transcript } = chat.conversation;
      const { round, closed, questions, recorded, live } = transcript;
      const now = [session, round, closed, questions.length, !recorded.size, live].join();
      if (now === state) return;
      state = now;
      later();
      draw(0);
    };
    const unsubscribe = chat.subscribe(look);
    const unwatch = chat.watch.subscribe(({ gone, title }) => {
      if (gone) listing.patch(gone, null);
      if (title) listing.patch(title.session, title.title);
      later();
    });
    document.addEventListener("visibilitychange", later);
    look();
    return () => {
      clearTimeout(soon);
      unsubscribe();
      unwatch();
      document.removeEventListener("visibilitychange", later);
      listing.end();
    };
  }, [chat, listing]);
  const works = listing.threads.some(({ doing }) => doing === "works");
  useEffect(() => {
    const timer = setInterval(
      () => !document.hidden && void listing.refresh(),
      works ? LOOK_WHILE_WORKING : LOOK,
    );
    return () => clearInterval(timer);
  }, [listing, works]);
  return listing;
}

/** Today, yesterday, then by month; what a search finds is one list. */
function grouped(threads: Thread[], tag: string, flat: boolean): [string, Thread[]][] {
  if (flat) return threads.length ? [["", threads]] : [];
  const day = new Intl.RelativeTimeFormat(tag, { numeric: "auto" });
  const month = new Intl.DateTimeFormat(tag, { month: "long", year: "numeric" });
  const today = new Date().setHours(0, 0, 0, 0);
  const groups = new Map<string, Thread[]>();
  for (const thread of threads) {
    const date = new Date(thread.updated * 1000);
    const days = Math.round((date.setHours(0, 0, 0, 0) - today) / 86_400_000);
    const name = days >= -1 ? day.format(Math.min(days, 0), "day") : month.format(date);
    const members = groups.get(name);
    if (members) members.push(thread);
    else groups.set(name, [thread]);
  }
  return [...groups];
}

/** Up and down go through the conversations. */
function walk(event: KeyboardEvent): void {
  const { key, target, currentTarget } = event;
  if (!(target instanceof HTMLElement) || !target.matches("a, .thread-more")) return;
  if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(key)) return;
  const links = [...(currentTarget as HTMLElement).querySelectorAll<HTMLElement>(".thread a")];
  const own = target.closest(".thread")?.querySelector<HTMLElement>("a");
  const index = own ? links.indexOf(own) : -1;
  const wanted =
    key === "Home"
      ? 0
      : key === "End"
        ? links.length - 1
        : Math.max(0, Math.min(links.length - 1, index + (key === "ArrowDown" ? 1 : -1)));
  event.preventDefault();
  links[wanted]?.focus();
}
