/**
 * Commands that may not have arrived: kept until they are acknowledged or refused, over lost
 * connections and reloads, and repeated under the same id.
 */

import type { Shelf } from "./shelf";
import type { Command, FileRef } from "./wire";

export type OutgoingState = "sent" | "acknowledged" | "refused";

export interface Outgoing {
  id: string;
  command: Command;
  /** How to show it until it is recorded. */
  text: string;
  files: FileRef[];
  state: OutgoingState;
  /** Why it was refused, in the server's words, and the code of docs/wire.md. */
  reason?: string;
  code?: string;
  tries: number;
}

/** 128 random bits. `randomUUID` is missing where a page is not served over HTTPS. */
export function freshId(): string {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  #commands = new Map<string, Outgoing>();
  #shelf: Shelf;

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
    const kept = shelf.read("outbox");
    if (!Array.isArray(kept)) return;
    for (const outgoing of kept as Outgoing[]) this.#commands.set(outgoing.id, outgoing);
  }

  /** In the order they were given. */
  get all(): Outgoing[] {
    return [...this.#commands.values()];
  }

  /** What has no answer yet. */
  get unanswered(): Outgoing[] {
    return this.all.filter(({ state }) => state === "sent");
  }

  get(id: string): Outgoing | undefined {
    return this.#commands.get(id);
  }

  add(command: Command, text = "", files: FileRef[] = []): Outgoing {
    const outgoing: Outgoing = { id: freshId(), command, text, files, state: "sent", tries: 0 };
    this.#commands.set(outgoing.id, outgoing);
    this.#keep();
    return outgoing;
  }

  drop(id: string): void {
    if (this.#commands.delete(id)) this.#keep();
  }

  mark(id: string, state: OutgoingState, reason = "", code = ""): void {
    const outgoing = this.#commands.get(id);
    if (!outgoing) return;
    outgoing.state = state;
    outgoing.reason = reason;
    outgoing.code = code;
    this.#keep();
  }

  #keep(): void {
    const open = this.all.filter(({ state }) => state !== "acknowledged");
    this.#shelf.write("outbox", open.length ? open : null);
  }
}
