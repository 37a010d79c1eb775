/** Which language the chat speaks, and its texts. English is always there; others are fetched. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { en } from "./en";

export type Texts = typeof en;

const OTHERS: Record<string, () => Promise<Texts>> = {
  ar: () => import("./ar").then(({ ar }) => ar),
  de: () => import("./de").then(({ de }) => de),
  es: () => import("./es").then(({ es }) => es),
  fr: () => import("./fr").then(({ fr }) => fr),
  ja: () => import("./ja").then(({ ja }) => ja),
  zh: () => import("./zh").then(({ zh }) => zh),
};
const RIGHT_TO_LEFT = new Set(["ar"]);

export interface Language {
  /** As the user wants it, with its region, for dates and numbers. */
  tag: string;
  direction: "ltr" | "rtl";
  texts: Texts;
}

/** The first of the `wanted` languages that we speak; English if there is none. */
export function choose(wanted: readonly string[]): { tag: string; name: string } {
  for (const tag of wanted) {
    const name = tag.toLowerCase().split("-")[0] ?? "";
    if (name === "en" || name in OTHERS) return { tag, name };
  }
  return { tag: "en", name: "en" };
}

export async function speak(wanted: readonly string[]): Promise<Language> {
  const { tag, name } = choose(wanted);
  const direction = RIGHT_TO_LEFT.has(name) ? "rtl" : "ltr";
  try {
    return { tag, direction, texts: (await OTHERS[name]?.()) ?? en };
  } catch {
    // the file could not be fetched: better in English than not at all
    return { tag: "en", direction: "ltr", texts: en };
  }
}

export const Speech = createContext<Language>({ tag: "en", direction: "ltr", texts: en });

export const useTexts = (): Texts => useContext(Speech).texts;

/** The language with the app's own words in it: those for all languages, then its own. */
export function inOwnWords(
  language: Language,
  own: Record<string, Record<string, string>> | undefined,
): Language {
  if (!own) return language;
  const tag = language.tag.toLowerCase();
  const base = tag.split("-")[0] ?? "";
  const texts = { ...language.texts, ...own[""], ...own[base], ...own[tag] };
  return { ...language, texts };
}

const REFUSALS: Record<string, keyof Texts> = {
  busy: "refusedBusy",
  overloaded: "refusedUnavailable",
  unavailable: "refusedUnavailable",
  too_large: "refusedTooLarge",
  too_many: "refusedTooMany",
  closed: "refusedClosed",
  unhandled: "refusedClosed",
};

/** Why the server took something not: in the user's language, else in the server's own words. */
export function refusal(texts: Texts, code = "", message = ""): string {
  const name = REFUSALS[code];
  return name ? texts[name] : message || texts.notAccepted;
}

/** Puts values into the places of a text. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}
