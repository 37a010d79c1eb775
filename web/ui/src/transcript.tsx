/** The conversation: everything that was said, followed to its end while the reader is there. */

import type { BotItem, Item, Outgoing, UserItem } from "@parlour/client";
import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Earlier, useBacklog } from "./backlog";
import { Follow } from "./follow";
import { Icon } from "./icons";
import { lazily } from "./lazily";
import { memo } from "./memo";
import { useSurroundings } from "./surroundings";
import { useTexts } from "./texts";
import { Turn, UnderwayTurn } from "./turns";
import { ProgressLine } from "./work";

const Start = lazily(
  () => import("./start").then(({ Start }) => Start),
  ({ heading, greeted }) =>
    greeted ? null : (
      <div class="start">
        <p class="greeting">{heading}</p>
      </div>
    ),
);

interface TranscriptProps {
  heading: string;
  follow: { current: Follow | null };
  children: ComponentChildren;
}

export function Transcript({ heading, follow, children }: TranscriptProps) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const scroller = useRef<HTMLElement>(null);
  const column = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  useEffect(() => {
    if (!scroller.current || !column.current) return;
    const made = new Follow(scroller.current, column.current, setAway);
    follow.current = made;
    return () => made.end();
  }, [follow]);

  const { conversation } = chat;
  const { transcript, underway } = conversation;
  const backlog = useBacklog(transcript, scroller, follow);
  const { items, live, round, streams, questions } = transcript;
  const working = round > 0 && live;
  const said = underway.length > 0 || items.some(({ kind }) => kind === "user");
  const begins = live && !working && !said && !transcript.closed && !questions.length;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section id="scroller" tabIndex={0} aria-label={texts.conversation} ref={scroller}>
        <div class="column" ref={column}>
          {live && backlog.from > 0 && <Earlier {...backlog} scroller={scroller} />}
          <div
            id="transcript"
            role="log"
            aria-live="polite"
            aria-busy={streams.size > 0 || !live}
            aria-label={texts.messages}
          >
            <Turns
              items={items.slice(backlog.from, backlog.to)}
              underway={underway}
              offline={!live}
            />
          </div>
          {working && !questions.length && !streams.size && <Working />}
          {begins && <Start heading={heading} greeted={items.length > 0} />}
          {children}
        </div>
      </section>
      <div class="float">
        {away && (
          <button type="button" id="jump" onClick={() => follow.current?.toEnd(true)}>
            <Icon name="down" />
            {texts.jump}
          </button>
        )}
      </div>
    </>
  );
}

const Tools = memo(
  lazily(
    () => import("./threads").then((found) => found.Tools),
    ({ item }) => <div class={`tools ${item.kind}`} />,
  ),
);

/** A message that something else may be said instead of, and the end of what was answered. */
function hasTools(item: Item, next: Item | undefined, round: number): item is UserItem | BotItem {
  if (item.kind === "user") return item.prompt === true && item.seq !== undefined;
  if (item.kind !== "bot" || item.state === "streaming" || item.round === round) return false;
  return !next || next.kind === "user" || ("round" in next && next.round !== item.round);
}

interface TurnsProps {
  items: Item[];
  underway: Outgoing[];
  offline: boolean;
}

function Turns({ items, underway, offline }: TurnsProps) {
  const texts = useTexts();
  const { attention, conversation } = useSurroundings().chat;
  const { unreadFrom } = attention;
  const { round } = conversation.transcript;
  const last = underway.length ? undefined : items.at(-1);
  return (
    <>
      {items.map((item, index) => (
        <Fragment key={item.key}>
          {item.key === unreadFrom && <p class="unread">{texts.newMessages}</p>}
          <Turn item={item} last={item === last} />
          {hasTools(item, items[index + 1], round) && <Tools item={item} last={item === last} />}
        </Fragment>
      ))}
      {underway.map((outgoing) => (
        <UnderwayTurn key={`c:${outgoing.id}`} outgoing={outgoing} offline={offline} />
      ))}
    </>
  );
}

/** What it does just now, where it says so; a part that is under way says so itself. */
function Working() {
  const { transcript } = useSurroundings().chat.conversation;
  const { progress } = transcript.work;
  if (progress && progress.done !== progress.total) return <ProgressLine progress={progress} />;
  return transcript.work.busy ? null : <Typing />;
}

function Typing() {
  const texts = useTexts();
  return (
    <div class="typing" role="img" aria-label={texts.answering}>
      <span />
      <span />
      <span />
    </div>
  );
}
