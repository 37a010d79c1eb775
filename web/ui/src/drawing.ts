/** When to draw: at most once a frame, however much has changed. */

import { useEffect, useReducer } from "preact/hooks";
import type { Chat } from "./chat";

const HIDDEN_PAUSE = 100;

/** Draws the component again whenever something in the chat has changed. */
export function useChanges(chat: Chat): void {
  const [, draw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    let cancel: (() => void) | null = null;
    const now = () => {
      cancel = null;
      draw(0);
    };
    const soon = () => {
      cancel ??= document.hidden ? later(now) : nextFrame(now);
    };
    // a frame that was asked for may never come to a tab that is hidden since
    const turn = () => {
      cancel?.();
      now();
    };
    const unsubscribe = chat.subscribe(soon);
    document.addEventListener("visibilitychange", turn);
    soon();
    return () => {
      cancel?.();
      unsubscribe();
      document.removeEventListener("visibilitychange", turn);
    };
  }, [chat]);
}

function nextFrame(work: () => void): () => void {
  const frame = requestAnimationFrame(work);
  return () => cancelAnimationFrame(frame);
}

function later(work: () => void): () => void {
  const timer = setTimeout(work, HIDDEN_PAUSE);
  return () => clearTimeout(timer);
}
