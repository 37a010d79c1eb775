/** What is said about lists, branches and links, in the language that the chat speaks. */

import { useContext, useEffect, useState } from "preact/hooks";
import { choose, Speech } from "../../texts";
import { en } from "./en";

export type ThreadTexts = typeof en;

const OTHERS: Record<string, () => Promise<ThreadTexts>> = {
  ar: () => import("./ar").then(({ ar }) => ar),
  de: () => import("./de").then(({ de }) => de),
  es: () => import("./es").then(({ es }) => es),
  fr: () => import("./fr").then(({ fr }) => fr),
  ja: () => import("./ja").then(({ ja }) => ja),
  zh: () => import("./zh").then(({ zh }) => zh),
};

const known = new Map<string, ThreadTexts>([["en", en]]);

/** The texts of a language; English where there are none. */
export async function threadTexts(name: string): Promise<ThreadTexts> {
  const texts = known.get(name) ?? (await OTHERS[name]?.().catch(() => en)) ?? en;
  known.set(name, texts);
  return texts;
}

/** null until they are there. */
export function useThreadTexts(): ThreadTexts | null {
  const { tag, texts } = useContext(Speech);
  // a language that could not be fetched is spoken as English
  const name = choose([tag]).name;
  const [, draw] = useState<ThreadTexts | null>(null);
  useEffect(() => {
    if (!known.has(name)) void threadTexts(name).then(draw);
  }, [name, texts]);
  return known.get(name) ?? null;
}
