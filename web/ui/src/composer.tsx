/** Where the user writes: a growing field, files, and one button that sends or stops. */

import type { FileRef } from "@parlour/client";
import {
  useContext,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from "preact/hooks";
import { Chips, useTray } from "./files";
import { size } from "./format";
import { Icon } from "./icons";
import { lazily } from "./lazily";
import { type GiveBack, isTouch, useSurroundings } from "./surroundings";
import { fill, refusal, Speech, type Texts } from "./texts";
import type { Tray } from "./tray";

const EditBar = lazily(
  () => import("./threads").then((found) => found.EditBar),
  () => <div class="edit-bar" />,
);

const sayInstead: typeof import("./threads").sayInstead = async (...said) =>
  (await import("./threads")).sayInstead(...said);

export interface ComposerHandle {
  field: HTMLTextAreaElement | null;
  tray: Tray;
  empty: boolean;
  giveBack: GiveBack;
  /** The same, instead of what is written there. */
  rewrite: GiveBack;
}

interface ComposerProps {
  handle: { current: ComposerHandle | null };
  /** Whether files are being dragged that would come here. */
  dropping: boolean;
}

export function Composer({ handle, dropping }: ComposerProps) {
  const { texts, tag } = useContext(Speech);
  const { chat, toEnd } = useSurroundings();
  const { conversation, client } = chat;
  const { transcript, session } = conversation;
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [text, write] = useState("");
  const [hint, say] = useState("");
  /** Whether it is to be sent as soon as there is a session. */
  const [eager, setEager] = useState(false);
  const tray = useTray({});

  const empty = !text.trim() && !tray.parcels.length;
  const giveBack: GiveBack = (words, files = []) => {
    write([words, field.current?.value].filter(Boolean).join("\n"));
    tray.restore(files);
    field.current?.focus({ preventScroll: true });
  };
  /** What was written before an earlier message came into the field. */
  const aside = useRef<string | null>(null);
  const rewrite: GiveBack = (words, files = []) => {
    aside.current ??= text;
    write(words);
    tray.clear();
    tray.restore(files);
    field.current?.focus({ preventScroll: true });
  };
  const cancelEditing = () => {
    chat.edit(null);
    rewrite(aside.current ?? "");
    aside.current = null;
  };
  useImperativeHandle(handle, () => ({ field: field.current, tray, empty, giveBack, rewrite }));
  useDraft(text, write, tray);
  useGrowth(field, text);

  const objection = (): string => {
    const limit = client.limits.message_bytes ?? Number.POSITIVE_INFINITY;
    const bytes = text.length * 4 > limit ? new TextEncoder().encode(text).length : 0;
    if (bytes > limit) {
      return fill(texts.messageTooLong, { size: size(bytes, tag), limit: size(limit, tag) });
    }
    if (tray.busy) return texts.fileOnItsWay;
    return tray.parcels.some(({ problem }) => problem) ? texts.fileInTheWay : "";
  };
  const send = () => {
    if (empty) return;
    setEager(!session);
    if (!session) return;
    const problem = objection();
    say(problem);
    if (problem) return;
    chat.attention.settle();
    if (chat.editing) {
      void sayInstead(chat, chat.editing, { text, files: tray.files }).catch(
        ({ code = "", message = "" }) => say(refusal(texts, code, message)),
      );
      return;
    }
    conversation.say(text, tray.files);
    toEnd();
    write("");
    tray.clear();
    field.current?.focus({ preventScroll: true });
  };
  useEffect(() => {
    if (session) tray.begin();
    if (eager && session && !tray.busy) send();
  }, [eager, session, tray.busy]);

  const question = transcript.questions[0]?.question.kind;
  const stops = transcript.round > 0 && transcript.live && !question && empty;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape" && chat.editing && !event.isComposing) {
      event.preventDefault();
      cancelEditing();
    }
    if (event.key !== "Enter" || event.shiftKey || isTouch()) return;
    if (event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!event.repeat) send();
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    if (stops) conversation.stop();
    else send();
  };
  return (
    <form id="composer" class="column" onSubmit={onSubmit}>
      {chat.editing && <EditBar cancel={cancelEditing} />}
      <Chips tray={tray} />
      <div class={dropping ? "box dropping" : "box"}>
        <button
          type="button"
          class="icon-button"
          aria-label={texts.attachFiles}
          title={texts.attachFiles}
          onClick={() => picker.current?.click()}
        >
          <Icon name="attach" />
        </button>
        <input
          type="file"
          multiple
          hidden
          tabIndex={-1}
          aria-label={texts.files}
          ref={picker}
          onChange={({ currentTarget }) => {
            tray.add(currentTarget.files ?? []);
            currentTarget.value = "";
            field.current?.focus({ preventScroll: true });
          }}
        />
        <textarea
          rows={1}
          dir="auto"
          aria-label={texts.message}
          placeholder={dropping ? texts.dropHere : invitation(question, texts)}
          enterkeyhint="enter"
          ref={field}
          value={text}
          onInput={({ currentTarget }) => {
            write(currentTarget.value);
            setEager(false);
            say("");
          }}
          onKeyDown={onKeyDown}
        />
        <SendButton stops={stops} disabled={!stops && (!session || empty || tray.busy)} />
      </div>
      <p class="hint" role="alert">
        {hint}
      </p>
    </form>
  );
}

function invitation(question: string | undefined, texts: Texts): string {
  if (!question) return texts.writeMessage;
  return question === "form" || question === "file" ? texts.answerAbove : texts.typeAnswer;
}

function SendButton({ stops, disabled }: { stops: boolean; disabled: boolean }) {
  const { texts } = useContext(Speech);
  return (
    <button
      type="submit"
      class={stops ? "send stops" : "send"}
      aria-label={stops ? texts.stop : texts.send}
      title={stops ? texts.stopHint : texts.send}
      disabled={disabled}
    >
      <Icon name={stops ? "stop" : "send"} />
    </button>
  );
}

interface Draft {
  text?: string;
  files?: FileRef[];
}

/** What is being written survives a reload, with the files that are up. */
function useDraft(text: string, write: (text: string) => void, tray: Tray): void {
  const { chat } = useSurroundings();
  const { session } = chat.conversation;
  const restored = useRef(false);
  const { files } = tray;
  useEffect(() => {
    if (!session || restored.current) return;
    restored.current = true;
    const draft = chat.tab(session).read("draft") as Draft | null;
    if (!draft || text) return;
    write(draft.text ?? "");
    tray.restore(draft.files ?? []);
  }, [session]);
  const names = files.map(({ id }) => id).join();
  useEffect(() => {
    if (!session || !restored.current) return;
    const draft: Draft | null = text || files.length ? { text, files } : null;
    chat.tab(session).write("draft", draft);
  }, [session, text, names]);
}

/** The field is as high as its text; the style sheet sets the most. */
function useGrowth(field: { current: HTMLTextAreaElement | null }, text: string): void {
  useLayoutEffect(() => {
    const { current } = field;
    if (!current) return;
    current.style.height = "auto";
    current.style.height = `${current.scrollHeight}px`;
  }, [field, text]);
}
