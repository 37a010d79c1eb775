/** What every view may need of its surroundings. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Chat } from "./chat";
import type { Tray } from "./tray";

export interface Surroundings {
  chat: Chat;
  /** Says something to those who listen rather than look. */
  announce(words: string): void;
  /** Shows the end of the conversation: the user has just done something there. */
  toEnd(): void;
  /** Leaves what is looked at in its place: the user opens something there. */
  stay(): void;
  /** Puts words and files back into the composer, before what is written there. */
  giveBack: GiveBack;
  /** Puts other words and files into the composer; what stood there comes back with `unwrite`. */
  rewrite: GiveBack;
  /** Shows a place of the conversation, and follows its end no longer. */
  show(element: HTMLElement): void;
  /** Where dropped and pasted files go; null gives the place back to the composer. */
  offerTray(tray: Tray | null): void;
}

export type GiveBack = (text: string, files?: import("@parlour/client").FileRef[]) => void;

export const SurroundingsContext = createContext<Surroundings | null>(null);

export function useSurroundings(): Surroundings {
  const found = useContext(SurroundingsContext);
  if (!found) throw new Error("this view stands outside of a chat");
  return found;
}

/** Whether fingers point: then Enter is a newline, and nothing calls the keyboard. */
export const isTouch = () => matchMedia("(pointer: coarse)").matches;
