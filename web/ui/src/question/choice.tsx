/** A choice: one of several with one click, or several with boxes. */

import type { Option } from "@parlour/client";
import { fill, type Texts, useTexts } from "../texts";
import { useKept } from "./kept";
import { type KindProps, Submit } from "./kinds";

export function Choice(props: KindProps<"choice">) {
  return props.question.many ? <Several {...props} /> : <One {...props} />;
}

function One({ question: { options, default: start }, label, send }: KindProps<"choice">) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be named by the question's text
    <div class="options" role="group" aria-labelledby={label}>
      {options.map((option) => (
        <button
          type="button"
          class={option.value === start ? "option preset" : "option"}
          onClick={() => send({ value: option.value }, option.label)}
        >
          <Words option={option} />
        </button>
      ))}
    </div>
  );
}

function Several({ seq, question, label, read }: KindProps<"choice">) {
  const texts = useTexts();
  const { options, minimum = 0, maximum, default: start } = question;
  const [picked, pick] = useKept<unknown[]>(seq, () => (Array.isArray(start) ? start : []));
  const chosen = options.filter(({ value }) => picked.includes(value));
  read.current = () => ({
    answer: { value: chosen.map(({ value }) => value) },
    shown: chosen.map(({ label }) => label).join(", "),
  });
  const toggle = (value: unknown, on: boolean) =>
    pick(on ? [...picked, value] : picked.filter((one) => one !== value));
  const range = rangeOf(texts, minimum, maximum);
  const unfit = chosen.length < minimum || chosen.length > (maximum ?? Number.POSITIVE_INFINITY);
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be named by the question's text */}
      <div class="options" role="group" aria-labelledby={label}>
        {options.map((option) => (
          <label class="option">
            <input
              type="checkbox"
              checked={picked.includes(option.value)}
              onChange={({ currentTarget }) => toggle(option.value, currentTarget.checked)}
            />
            <Words option={option} />
          </label>
        ))}
      </div>
      {range && <p class="help">{range}</p>}
      <div class="row">
        <Submit words={texts.answer} disabled={unfit} />
      </div>
    </>
  );
}

function rangeOf(texts: Texts, low: number, high: number | undefined): string {
  if (low && low === high) return fill(texts.chooseExactly, { low });
  if (low && high) return fill(texts.chooseBetween, { low, high });
  if (low) return fill(texts.chooseAtLeast, { low });
  return high ? fill(texts.chooseAtMost, { high }) : "";
}

function Words({ option: { label, description } }: { option: Option }) {
  return (
    <span class="option-words">
      <span>{label}</span>
      {description && <span class="help">{description}</span>}
    </span>
  );
}
