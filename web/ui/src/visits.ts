/** This browser's earlier conversations, to go back to: ids, first words and times, no more. */

import type { Conversation, Shelf } from "@parlour/client";

const MOST = 30;
const LONGEST = 80;

export interface Visit {
  id: string;
  title: string;
  at: number;
}

export class Visits {
  #shelf: Shelf;
  #noted = "";

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** Newest first. */
  get all(): Visit[] {
    const kept = this.#shelf.read("visits");
    return Array.isArray(kept) ? kept : [];
  }

  /** A conversation is named by the first words the user wrote. */
  note({ session, transcript }: Conversation): void {
    const items = transcript.items.filter((item) => item.kind !== "notice" && item.text);
    const first = items.find(({ kind }) => kind === "user") ?? items[0];
    const mark = `${session} ${first?.key}`;
    if (!session || !first || first.kind === "notice" || this.#noted === mark) return;
    this.#noted = mark;
    const title = first.text.replace(/\s+/g, " ").trim().slice(0, LONGEST);
    const others = this.all.filter(({ id }) => id !== session);
    this.#shelf.write("visits", [{ id: session, title, at: Date.now() }, ...others].slice(0, MOST));
  }

  forget(session: string): void {
    this.#shelf.write(
      "visits",
      this.all.filter(({ id }) => id !== session),
    );
  }

  clear(): void {
    this.#shelf.write("visits", null);
  }
}
