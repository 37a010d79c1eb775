/** What is in a file of the session. */

import { type FileRef, fileAddress } from "@parlour/client";
import { useEffect, useState } from "preact/hooks";
import type { Chat } from "../chat";
import { useSurroundings } from "../surroundings";

export interface Content<T> {
  value?: T;
  failed: boolean;
  again: () => void;
}

/** The file's text as `read` takes it; `failed` where it could not be fetched or read. */
export function useContent<T>({ id }: FileRef, read: (text: string) => T): Content<T> {
  const { chat } = useSurroundings();
  // a shared conversation is read without a connection
  const token = (chat.client as Chat["client"] | undefined)?.connection.token;
  const address = fileAddress(chat.base, chat.conversation.session, id);
  const [found, setFound] = useState<{ value?: T; failed: boolean }>({ failed: false });
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    const headers: HeadersInit = token ? { Authorization: `Bearer ${token}` } : {};
    fetch(address, { headers, signal: end.signal })
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer)))
      .then((text) => setFound({ value: read(text), failed: false }))
      .catch(() => end.signal.aborted || setFound({ failed: true }));
    return () => end.abort();
  }, [address, token, tries]);
  const again = () => {
    setFound({ failed: false });
    setTries(tries + 1);
  };
  return { ...found, again };
}
