/** Files that are dropped on the chat or pasted into it. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "./chat";
import type { Tray } from "./tray";

/** Whether something is being dragged over the chat. */
export function useDrop(
  frame: { current: HTMLElement | null },
  chat: Chat,
  tray: () => Tray | undefined,
): boolean {
  const [depth, setDepth] = useState(0);
  const target = useRef(tray);
  target.current = tray;
  useEffect(() => {
    const place = chat.standalone ? document : frame.current;
    const end = new AbortController();
    const on = <T extends Event>(name: string, listener: (event: T) => void) =>
      place?.addEventListener(name, listener as EventListener, { signal: end.signal });

    on<DragEvent>("dragenter", ({ dataTransfer }) => {
      if (carriesFiles(dataTransfer)) setDepth((deep) => deep + 1);
    });
    on<DragEvent>("dragleave", ({ dataTransfer }) => {
      if (carriesFiles(dataTransfer)) setDepth((deep) => Math.max(0, deep - 1));
    });
    on<DragEvent>("dragover", (event) => {
      if (carriesFiles(event.dataTransfer)) event.preventDefault();
    });
    on<DragEvent>("drop", (event) => {
      if (!carriesFiles(event.dataTransfer)) return;
      event.preventDefault();
      setDepth(0);
      if (takesFiles(chat)) target.current()?.add(event.dataTransfer?.files ?? []);
    });
    on<ClipboardEvent>("paste", (event) => {
      const data = event.clipboardData;
      // office programs put a picture of the text beside the text: then the text is meant
      if (!data?.files.length || data.types.includes("text/plain") || !takesFiles(chat)) return;
      event.preventDefault();
      target.current()?.add(data.files);
    });
    return () => end.abort();
  }, [frame, chat]);
  return depth > 0;
}

const carriesFiles = (data: DataTransfer | null) => !!data && [...data.types].includes("Files");

const takesFiles = ({ conversation }: Chat) => !conversation.trouble;
