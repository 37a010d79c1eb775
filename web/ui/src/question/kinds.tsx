/** One view for each kind of question: its controls, and what was entered when it is sent. */

import type { Answer, Question } from "@parlour/client";
import { useContext, useEffect, useState } from "preact/hooks";
import { Chips, useTray } from "../files";
import { begin, inWords, read as readForm } from "../form/entered";
import { formOf } from "../form/fields";
import { FieldView, NumberInput } from "../form/view";
import { day } from "../format";
import { Icon } from "../icons";
import { isTouch, useSurroundings } from "../surroundings";
import { fill, Speech, type Texts, useTexts } from "../texts";
import { Choice } from "./choice";
import { useKept } from "./kept";

export interface Given {
  answer: Answer;
  /** How it reads until it is recorded. */
  shown: string;
}

export interface KindProps<K extends Question["kind"] = Question["kind"]> {
  question: Extract<Question, { kind: K }>;
  seq: number;
  /** The id of the question's text. */
  label: string;
  send: (answer: Answer, shown: string) => void;
  /** Where a kind puts how to read it; null: not yet fit to be sent. */
  read: { current: () => Given | null };
}

type Field = HTMLInputElement | HTMLTextAreaElement;

function useField(seq: number, start: unknown) {
  const [value, setValue] = useKept(seq, () => String(start ?? ""));
  const onInput = (event: { currentTarget: Field }) => setValue(event.currentTarget.value);
  return { value, onInput };
}

function TextQuestion({ seq, question, label, read }: KindProps<"text">) {
  const texts = useTexts();
  const { min_length: least = 1, max_length: most, multiline } = question;
  const field = useField(seq, question.default);
  read.current = () => ({ answer: { value: field.value }, shown: field.value });
  const noAccident = (event: KeyboardEvent) => {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && composing) event.preventDefault();
  };
  const about = {
    ...field,
    "aria-labelledby": label,
    required: least > 0,
    autocomplete: "off" as const,
    onKeyDown: noAccident,
    ...(most ? { maxLength: most } : {}),
  };
  return (
    <div class="row">
      {multiline ? <textarea rows={3} {...about} /> : <input type="text" {...about} />}
      <Submit words={texts.answer} />
    </div>
  );
}

function NumberQuestion({ seq, question, label, read }: KindProps<"number">) {
  const { texts, tag } = useContext(Speech);
  const { minimum, maximum, integer = false } = question;
  const field = useField(seq, question.default);
  read.current = () => ({ answer: { value: Number(field.value) }, shown: field.value });
  const range = bounds(texts, minimum?.toLocaleString(tag), maximum?.toLocaleString(tag), [
    "atLeast",
    "atMost",
  ]);
  return (
    <>
      <div class="row">
        <NumberInput
          {...field}
          aria-labelledby={label}
          range={{
            integer,
            ...(minimum === undefined ? {} : { minimum }),
            ...(maximum === undefined ? {} : { maximum }),
          }}
          required
        />
        <Submit words={texts.answer} />
      </div>
      {range && <p class="help">{range}</p>}
    </>
  );
}

function DateQuestion({ seq, question, label, read }: KindProps<"date">) {
  const { texts, tag } = useContext(Speech);
  const { minimum, maximum } = question;
  const field = useField(seq, question.default);
  read.current = () => ({ answer: { value: field.value }, shown: field.value });
  const shown = (date: string | undefined) => (date === undefined ? undefined : day(date, tag));
  const range = bounds(texts, shown(minimum), shown(maximum), ["notBefore", "notAfter"]);
  return (
    <>
      <div class="row">
        <input
          type="date"
          {...field}
          aria-labelledby={label}
          min={minimum}
          max={maximum}
          required
        />
        <Submit words={texts.answer} />
      </div>
      {range && <p class="help">{range}</p>}
    </>
  );
}

function bounds(
  texts: Texts,
  low: string | undefined,
  high: string | undefined,
  [least, most]: ["atLeast" | "notBefore", "atMost" | "notAfter"],
): string {
  if (low !== undefined && high !== undefined) return fill(texts.between, { low, high });
  if (low !== undefined) return fill(texts[least], { low });
  return high === undefined ? "" : fill(texts[most], { high });
}

function ConfirmQuestion({ question, send }: KindProps<"confirm">) {
  const texts = useTexts();
  const { yes = texts.yes, no = texts.no } = question;
  return (
    <div class="row">
      <button type="button" class="primary" onClick={() => send({ value: true }, yes)}>
        {yes}
      </button>
      <button type="button" class="secondary" onClick={() => send({ value: false }, no)}>
        {no}
      </button>
    </div>
  );
}

function FileQuestion({ question, label, read }: KindProps<"file">) {
  const texts = useTexts();
  const { offerTray } = useSurroundings();
  const { accept = [], minimum = 1, maximum = 1, max_bytes: maxBytes } = question;
  const tray = useTray({ accept, most: maximum, ...(maxBytes ? { maxBytes } : {}) });
  useEffect(() => {
    offerTray(tray);
    return () => offerTray(null);
  }, [tray]);
  read.current = () => ({ answer: { files: tray.files }, shown: "" });
  const several = maximum > 1;
  const { length } = tray.files;
  const choose = several ? texts.chooseFiles : texts.chooseFile;
  const call = several ? texts.chooseOrDropFiles : texts.chooseOrDropFile;
  return (
    <>
      <label class="drop">
        <input
          type="file"
          class="unseen"
          accept={accept.join(",") || undefined}
          multiple={several}
          aria-labelledby={label}
          onChange={({ currentTarget }) => {
            tray.add(currentTarget.files ?? []);
            currentTarget.value = "";
          }}
        />
        <Icon name="upload" />
        <span>{isTouch() ? choose : call}</span>
        {accept.length > 0 && <span class="help">{kinds(accept, texts)}</span>}
      </label>
      <Chips tray={tray} />
      {tray.parcels.length > 0 && (
        <div class="row">
          <Submit
            words={texts.send}
            disabled={tray.busy || length < minimum || length > tray.most}
          />
        </div>
      )}
    </>
  );
}

function kinds(accept: string[], texts: Texts): string {
  const names: Record<string, string> = {
    "image/*": texts.pictures,
    "audio/*": texts.sound,
    "video/*": texts.video,
    "text/*": texts.text,
  };
  return accept.map((rule) => names[rule] ?? rule).join(", ");
}

function FormQuestion({ seq, question, read }: KindProps<"form">) {
  const texts = useTexts();
  const [form] = useState(() => formOf(question.schema ?? {}, texts.answer));
  const [entered, enter] = useKept(seq, () => begin(form, question.default));
  read.current = () => {
    const value = readForm(form, entered);
    return { answer: { value }, shown: inWords(value) };
  };
  return (
    <>
      <FieldView field={form} entered={entered} enter={enter} outermost />
      <div class="row">
        <Submit words={texts.send} />
      </div>
    </>
  );
}

export function Submit({ words, disabled = false }: { words: string; disabled?: boolean }) {
  return (
    <button type="submit" class="primary" disabled={disabled}>
      {words}
    </button>
  );
}

type Kinds = { [K in Question["kind"]]: (props: KindProps<K>) => preact.JSX.Element };

export const KINDS: Kinds = {
  text: TextQuestion,
  number: NumberQuestion,
  date: DateQuestion,
  confirm: ConfirmQuestion,
  choice: Choice,
  file: FileQuestion,
  form: FormQuestion,
};
