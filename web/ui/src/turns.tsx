/** What stands in the transcript: one view for each kind of item. */

import type { BotItem, Item, NoticeItem, Outgoing, UserItem } from "@parlour/client";
import { useContext, useEffect, useState } from "preact/hooks";
import { Enclosed } from "./enclosed";
import { FileList } from "./files";
import { moment } from "./format";
import { lazily } from "./lazily";
import { Markdown } from "./markdown/markdown";
import { memo } from "./memo";
import { QuestionTurn } from "./question/turn";
import { useSurroundings } from "./surroundings";
import { fill, refusal, Speech, type Texts, useTexts } from "./texts";
import { Part } from "./work";

const NONE: never[] = [];

const ComponentTurn = lazily(
  () => import("./component").then(({ ComponentTurn }) => ComponentTurn),
  () => null,
);
const Rating = lazily(
  () => import("./rating").then(({ Rating }) => Rating),
  () => null,
);

interface TurnProps {
  item: Item;
  /** Nothing came after it. */
  last: boolean;
}

export const Turn = memo(function Turn({ item, last }: TurnProps) {
  switch (item.kind) {
    case "user":
      return <UserTurn item={item} />;
    case "bot":
      return <BotTurn item={item} />;
    case "question":
      return <QuestionTurn item={item} />;
    case "part":
      return <Part item={item} />;
    case "component":
      return <ComponentTurn item={item} />;
    case "notice":
      return <NoticeTurn item={item} last={last} />;
  }
});

export function Speaker({ name }: { name: string }) {
  return <span class="unseen">{`${name}: `}</span>;
}

function UserTurn({ item }: { item: UserItem }) {
  const { texts, tag } = useContext(Speech);
  return (
    <div class="turn user" title={moment(item.at, tag)}>
      <Said text={item.text} files={item.files} />
      {item.waits && <div class="state">{texts.waitsForTurn}</div>}
    </div>
  );
}

function Said({ text, files }: Pick<UserItem, "text" | "files">) {
  const texts = useTexts();
  // the words of an answer that is files are their names, which stand below as links
  const names = files.map(({ name }) => name).join(", ");
  return (
    <>
      <Speaker name={texts.you} />
      {text && text !== names && (
        <p class="said" dir="auto">
          {text}
        </p>
      )}
      <FileList files={files} />
    </>
  );
}

interface UnderwayProps {
  outgoing: Outgoing;
  offline: boolean;
}

/** Something that was said here and that the log does not have yet. */
export function UnderwayTurn({ outgoing, offline }: UnderwayProps) {
  const texts = useTexts();
  const { chat, giveBack } = useSurroundings();
  const { id, text, files, state, reason, code } = outgoing;
  const refused = state === "refused";
  const takeBack = () => {
    giveBack(text, files);
    chat.conversation.discard(id);
  };
  return (
    <div class={refused ? "turn user refused" : "turn user pending"}>
      <Said text={text} files={files} />
      {refused ? (
        <div class="state">
          <span class="problem">{refusal(texts, code, reason)}</span>
          <button type="button" class="link" onClick={() => chat.conversation.retry(id)}>
            {texts.tryAgain}
          </button>
          <button type="button" class="link" onClick={takeBack}>
            {texts.edit}
          </button>
        </div>
      ) : (
        offline && <div class="state">{texts.waitsForConnection}</div>
      )}
    </div>
  );
}

function BotTurn({ item }: { item: BotItem }) {
  const { texts, tag } = useContext(Speech);
  const streams = item.state === "streaming";
  return (
    <div class={streams ? "turn bot streaming" : "turn bot"} title={moment(item.at, tag)}>
      <Speaker name={texts.reply} />
      {item.text && (
        <div class="prose" dir="auto">
          <Markdown text={item.text} whole={!streams} />
        </div>
      )}
      <Enclosed files={item.files} actions={item.actions ?? NONE} />
      {item.state === "unfinished" && <p class="state">{texts.unfinished}</p>}
      {item.seq && item.state === "whole" && <Thumbs item={item} />}
    </div>
  );
}

/** Whether answers can be rated is known a moment after they are shown. */
function Thumbs({ item }: { item: BotItem }) {
  const { chat } = useSurroundings();
  const [wanted, want] = useState(!!chat.offer?.feedback);
  useEffect(() => chat.subscribe(() => want(!!chat.offer?.feedback)), [chat]);
  return wanted && !chat.conversation.transcript.closed ? <Rating item={item} /> : null;
}

const QUIET = new Set<NoticeItem["status"]>(["stopped", "closed", "expired", "erased"]);

function NoticeTurn({ item, last }: { item: NoticeItem; last: boolean }) {
  const texts = useTexts();
  const quiet = QUIET.has(item.status);
  return (
    <div class={quiet ? "turn notice" : "turn notice error"}>
      <p>
        {item.reason || noticeText(item.status, texts)}
        {item.error && <span class="code-id">{fill(texts.errorId, { id: item.error })}</span>}
      </p>
      {last && !quiet && <SayAgain />}
    </div>
  );
}

function noticeText(status: NoticeItem["status"], texts: Texts): string {
  return status === "diverged" ? texts.failed : texts[status];
}

/** After a failure: what was said last is said once more, without being typed again. */
function SayAgain() {
  const texts = useTexts();
  const { chat, toEnd } = useSurroundings();
  const { conversation } = chat;
  const said = conversation.transcript.items.findLast((item) => item.kind === "user");
  if (!said || conversation.transcript.closed) return null;
  const again = () => {
    conversation.say(said.text, said.files);
    toEnd();
  };
  return (
    <button type="button" class="link" onClick={again}>
      {texts.tryAgain}
    </button>
  );
}
