/** Why an answer was rejected, in the user's language; what has no code is said as it came. */

import type { QuestionItem } from "@parlour/client";
import { day, size } from "../format";
import { fill, type Texts } from "../texts";

type Rejection = NonNullable<QuestionItem["rejection"]>;

const WORDS: Record<string, keyof Texts> = {
  words: "needWords",
  longer: "needLonger",
  shorter: "needShorter",
  pattern: "needForm",
  number: "needNumber",
  whole: "needWhole",
  thousands: "needPlainNumber",
  at_least: "atLeast",
  at_most: "atMost",
  confirm: "needYesOrNo",
  date: "needDate",
  not_before: "notBefore",
  not_after: "notAfter",
  one: "needOne",
  one_of: "needOneOf",
  choose_least: "chooseAtLeast",
  choose_most: "chooseAtMost",
  form: "needFields",
  file: "needFile",
  files_least: "needFiles",
  files_most: "filesFit",
  file_size: "fileTooLarge",
  file_kind: "wrongKind",
};

export function rejected(rejection: Rejection | undefined, texts: Texts, tag: string): string {
  if (!rejection) return "";
  const { code = "", reason, values = {} } = rejection;
  const name = WORDS[code];
  if (!name) return reason;
  const shown: Record<string, string> = {};
  for (const [key, value] of Object.entries(values)) shown[key] = show(code, key, value, tag);
  const words = fill(texts[name], { count: shown.high ?? "", ...shown });
  return values.name ? `${values.name}: ${words}` : words;
}

function show(code: string, key: string, value: string, tag: string): string {
  if (code === "not_before" || code === "not_after") return day(value, tag);
  if (key === "limit") return size(Number(value), tag);
  const number = key === "low" || key === "high" ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number.toLocaleString(tag) : value;
}
