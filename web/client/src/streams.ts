/** Messages that are being written. Deltas are passing: what they built up, a record replaces. */

import type { BotItem } from "./items";
import type { Delta } from "./wire";

export class Streams {
  #streams = new Map<string, BotItem>();
  /** How many code points each has, which is what offsets count. */
  #points = new Map<string, number>();

  get items(): BotItem[] {
    return [...this.#streams.values()];
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Takes a delta. False: text before it is missing. */
  add({ round, path, offset, text }: Delta): boolean {
    const key = streamKey(round, path);
    const known = this.#points.get(key) ?? 0;
    const grown = grow({ text: this.#streams.get(key)?.text ?? "", points: known }, offset, text);
    this.#points.set(key, grown.points);
    const state = "streaming";
    this.#streams.set(key, {
      kind: "bot",
      key,
      round,
      path,
      text: grown.text,
      files: [],
      state,
    });
    return offset <= known;
  }

  drop(key: string): void {
    this.#streams.delete(key);
    this.#points.delete(key);
  }

  clear(): void {
    this.#streams.clear();
    this.#points.clear();
  }

  /** Takes out what was being written in a round that is over. */
  end(round: number): BotItem[] {
    const ended = this.items.filter((item) => item.round === round);
    for (const { key } of ended) this.drop(key);
    return ended;
  }
}

/** The key of the message at `path` of a round: the same while it is written and when it is there. */
export const streamKey = (round: number, path: string): string => `b:${round}:${path}`;

/** A text and how many code points it has, which is what offsets count. */
export interface Grown {
  text: string;
  points: number;
}

/** The text from `offset` on is another one now. */
export function grow({ text, points }: Grown, offset: number, more: string): Grown {
  const kept = offset < points ? Array.from(text).slice(0, offset).join("") : text;
  return { text: kept + more, points: Math.min(offset, points) + length(more) };
}

function length(text: string): number {
  let points = 0;
  for (const _point of text) points += 1;
  return points;
}
