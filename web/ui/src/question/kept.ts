/** What was entered as an answer and not sent yet: it survives a reload, until the question closes. */

import { useEffect, useState } from "preact/hooks";
import { useSurroundings } from "../surroundings";

export function useKept<T>(question: number, begin: () => T): [T, (value: T) => void] {
  const { chat } = useSurroundings();
  const { conversation } = chat;
  const shelf = chat.tab(conversation.session);
  const name = `answer:${question}`;
  const [value, setValue] = useState<T>(() => (shelf.read(name) as T | null) ?? begin());
  useEffect(
    () => () => {
      const open = conversation.transcript.questions.some(({ seq }) => seq === question);
      if (!open) shelf.write(name, null);
    },
    [],
  );
  const keep = (entered: T) => {
    setValue(entered);
    shelf.write(name, entered);
  };
  return [value, keep];
}
