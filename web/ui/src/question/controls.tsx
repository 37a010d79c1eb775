/**
 * The controls of an open question: what is the same for every kind. Sending, waiting, what was
 * wrong with the last answer, how much time is left, and the way out.
 */

import type { Answer, QuestionItem } from "@parlour/client";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { useChanges } from "../drawing";
import { Unreadable } from "../form/fields";
import { duration } from "../format";
import { useSurroundings } from "../surroundings";
import { fill, Speech } from "../texts";
import { type Given, KINDS, type KindProps } from "./kinds";
import { rejected } from "./rejected";

/** An Enter that is held down, or a word that is being typed, is no answer to what just appeared. */
const ACCIDENT = 400;

export function Controls({ item, label }: { item: QuestionItem; label: string }) {
  const { chat, toEnd } = useSurroundings();
  const { texts, tag } = useContext(Speech);
  useChanges(chat);
  const [problem, complain] = useState("");
  const problemId = useId();
  const read = useRef<() => Given | null>(() => null);
  const { conversation } = chat;
  const answering = conversation.answering(item.seq);

  const reason = rejected(item.rejection, texts, tag);
  useEffect(() => complain(reason), [item.rejection]);

  const send = (answer: Answer, shown: string) => {
    complain("");
    conversation.answer(item.seq, answer, shown);
    toEnd();
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    try {
      const given = read.current();
      if (given) send(given.answer, given.shown);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      complain(fill(texts.notJson, { name: error.field.title }));
      const form = event.currentTarget as HTMLFormElement;
      (form.elements.namedItem(error.field.path) as HTMLElement | null)?.focus();
    }
  };
  // a kind of a later version is answered with words, in the composer
  const Kind = KINDS[item.question.kind] as ((props: KindProps) => preact.JSX.Element) | undefined;
  return (
    <form
      class="question"
      aria-labelledby={label}
      aria-busy={answering}
      data-question={item.seq}
      onSubmit={submit}
      ref={useNoAccidents()}
    >
      <fieldset
        class="bare"
        disabled={answering}
        aria-describedby={problem ? problemId : undefined}
      >
        {Kind && (
          <Kind seq={item.seq} question={item.question} label={label} send={send} read={read} />
        )}
        <p class="problem" role="alert" id={problemId}>
          {problem}
        </p>
        <div class="foot">
          {item.deadline !== undefined && <Clock deadline={item.deadline} />}
          <button
            type="button"
            class="quiet"
            title={texts.dismissHint}
            onClick={() => conversation.stop()}
          >
            {texts.dismiss}
          </button>
        </div>
      </fieldset>
    </form>
  );
}

function useNoAccidents() {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    const appeared = Date.now();
    const guard = (event: KeyboardEvent) => {
      const early = event.repeat || Date.now() - appeared < ACCIDENT;
      const presses = event.target instanceof HTMLButtonElement && /^(Enter| )$/.test(event.key);
      if (presses && early) event.preventDefault();
    };
    form.current?.addEventListener("keydown", guard);
  }, []);
  return form;
}

function Clock({ deadline }: { deadline: number }) {
  const { chat } = useSurroundings();
  const { texts, tag } = useContext(Speech);
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = deadline - (now / 1000 - chat.conversation.transcript.skew);
  const words = left > 0 ? fill(texts.timeLeft, { time: duration(left, tag) }) : texts.timeIsUp;
  return (
    <span class="clock" role="timer">
      {words}
    </span>
  );
}
