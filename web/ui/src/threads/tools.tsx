/** Below a message: say it otherwise, have it answered again, go through what else was said there. */

import type { BotItem, UserItem } from "@parlour/client";
import { freshId } from "@parlour/client";
import { useContext, useEffect, useReducer, useRef, useState } from "preact/hooks";
import { adopt } from "../styles";
import { useSurroundings } from "../surroundings";
import { fill, refusal, Speech } from "../texts";
import { familyOf, learnFamily, sayInstead } from "./branching";
import { Sign } from "./icons";
import { type ThreadTexts, useThreadTexts } from "./texts";
import css from "./tools.css?inline";

const COPIED_FOR = 2_000;

export interface ToolsProps {
  item: UserItem | BotItem;
  /** Nothing came after it. */
  last: boolean;
}

export function Tools({ item, last }: ToolsProps) {
  const texts = useThreadTexts();
  const { chat } = useSurroundings();
  const place = useRef<HTMLDivElement>(null);
  useFamily();
  useEffect(() => {
    if (place.current) adopt(place.current, css);
  }, []);
  const { prompts } = chat.conversation.transcript;
  return (
    <div
      class={`tools ${item.kind}`}
      data-last={last && item.kind === "bot"}
      aria-live="off"
      ref={place}
    >
      {texts && item.kind === "user" && <UserTools item={item} texts={texts} />}
      {texts && item.kind === "bot" && (
        <>
          <Copy text={item.text} texts={texts} />
          <Again before={prompts.get(item.round) ?? 0} texts={texts} />
        </>
      )}
    </div>
  );
}

/** Drawn again when the branches are known, or others have been made. */
function useFamily(): void {
  const { chat } = useSurroundings();
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const { session } = chat.conversation;
  useEffect(() => {
    let wanted = true;
    const learn = (anew: boolean) =>
      void learnFamily(chat, anew).then(() => {
        if (wanted) draw(0);
      });
    learn(false);
    const unwatch = chat.watch.subscribe(({ title }) => title || learn(true));
    return () => {
      wanted = false;
      unwatch();
    };
  }, [chat, session]);
}

function UserTools({ item, texts }: { item: UserItem; texts: ThreadTexts }) {
  const { chat, rewrite } = useSurroundings();
  const edit = () => {
    chat.edit({ id: freshId(), before: item.seq ?? 0 });
    rewrite(item.text, item.files);
  };
  return (
    <>
      <Versions item={item} texts={texts} />
      {chat.may.has("branch") && (
        <button type="button" class="tool" title={texts.edit} onClick={edit}>
          <Sign name="rename" />
          <span class="unseen">{texts.edit}</span>
        </button>
      )}
    </>
  );
}

/** What else was said in this place. */
function Versions({ item, texts }: { item: UserItem; texts: ThreadTexts }) {
  const { chat, show } = useSurroundings();
  const { session } = chat.conversation;
  const group = useRef<HTMLFieldSetElement>(null);
  const seq = item.seq ?? 0;
  const variants = familyOf(chat)?.variants(session, seq);
  const wanted = !!variants && chat.reveal > 0 && seq > chat.reveal;
  useEffect(() => {
    if (!wanted || !group.current) return;
    chat.reveal = 0;
    show(group.current);
    group.current.querySelector<HTMLElement>("button:not([aria-disabled=true])")?.focus({
      preventScroll: true,
    });
  }, [wanted]);
  if (!variants) return null;
  const { sessions, index, after } = variants;
  const label = fill(texts.version, { number: index + 1, count: sessions.length });
  const go = (step: number) => () => {
    const other = sessions[index + step];
    if (other) chat.enter(other, after);
  };
  const step = (by: number, words: string) => (
    <button
      type="button"
      class="tool flips"
      title={words}
      aria-disabled={!sessions[index + by]}
      onClick={go(by)}
    >
      <Sign name={by < 0 ? "earlier" : "later"} />
      <span class="unseen">{words}</span>
    </button>
  );
  return (
    <fieldset class="versions" aria-label={label} ref={group}>
      {step(-1, texts.earlierVersion)}
      <span aria-hidden="true">{`${index + 1} / ${sessions.length}`}</span>
      {step(1, texts.laterVersion)}
    </fieldset>
  );
}

function Copy({ text, texts }: { text: string; texts: ThreadTexts }) {
  const { texts: common } = useContext(Speech);
  const { announce } = useSurroundings();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    announce(texts.copied);
    setTimeout(() => setCopied(false), COPIED_FOR);
  };
  if (!text || !navigator.clipboard) return null;
  return (
    <button type="button" class="tool" title={common.copy} onClick={() => void copy()}>
      <Sign name={copied ? "check" : "copy"} />
      <span class="unseen">{common.copy}</span>
    </button>
  );
}

function Again({ before, texts }: { before: number; texts: ThreadTexts }) {
  const { texts: common } = useContext(Speech);
  const { chat } = useSurroundings();
  const [id] = useState(freshId);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const asked = chat.conversation.transcript.items.find(({ seq }) => seq === before);
  if (asked?.kind !== "user" || !asked.prompt || !chat.may.has("branch")) return null;
  const again = async () => {
    setBusy(true);
    setProblem("");
    try {
      await sayInstead(chat, { id, before });
    } catch (error) {
      const { code = "", message = "" } = error as { code?: string; message?: string };
      setProblem(refusal(common, code, message) || texts.failed);
    }
    setBusy(false);
  };
  return (
    <>
      <button
        type="button"
        class="tool"
        title={texts.again}
        disabled={busy}
        onClick={() => void again()}
      >
        <Sign name="again" />
        <span class="unseen">{texts.again}</span>
      </button>
      {problem && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </>
  );
}
