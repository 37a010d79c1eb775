/**
 * The parts of a round's work: what is nested in what is said by their paths. What changes is made
 * anew from the part up to the outermost, so that a view sees by identity what is new.
 */

import type { PartItem } from "./items";
import { type Grown, grow } from "./streams";
import type { EventOf, PartDelta, Progress } from "./wire";

interface When {
  seq: number;
  at?: number;
}

export class Work {
  /** How far the round is. */
  progress: Progress | null = null;

  #parts = new Map<string, PartItem>();
  #grown = new Map<string, Grown>();
  #shown: (outermost: PartItem) => void;

  /** `shown` is told each part that stands in no other, whenever it or what is in it changes. */
  constructor(shown: (outermost: PartItem) => void) {
    this.#shown = shown;
  }

  /** Whether some part is under way. */
  get busy(): boolean {
    return [...this.#parts.values()].some(({ state }) => state === "running");
  }

  begin(event: EventOf<"PartBegun">, round: number, when: When): void {
    const { path, name, kind: sort = "", input = "" } = event;
    const key = `p:${round}:${path}`;
    const state = "running";
    const about = { key, round, path, name, sort, input, output: "", state, parts: [], ...when };
    this.#put({ kind: "part", text: "", ...about } as PartItem);
  }

  end(event: EventOf<"PartEnded">, at?: number): void {
    const { status = "done", output = "", cost } = event;
    const path = event.path.slice(0, event.path.lastIndexOf("/"));
    const part = this.#parts.get(path);
    this.#grown.delete(path);
    if (!part) return;
    const ended = at === undefined ? {} : { ended: at };
    const { progress: _, ...rest } = part;
    this.#put({ ...rest, state: status, output, ...ended, ...(cost && { cost }) });
  }

  /** Takes a piece of what comes out of a part. False: text before it is missing. */
  add({ path, offset, text }: PartDelta): boolean {
    const part = this.#parts.get(path);
    if (part?.state !== "running") return true;
    const before = this.#grown.get(path) ?? { text: "", points: 0 };
    const grown = grow(before, offset, text);
    this.#grown.set(path, grown);
    this.#put({ ...part, output: grown.text });
    return offset <= before.points;
  }

  take(progress: Progress): void {
    const { path = "" } = progress;
    const part = this.#parts.get(path);
    if (!path) this.progress = progress;
    else if (part?.state === "running") this.#put({ ...part, progress });
  }

  /** What has passed by may be lost. */
  clear(): void {
    this.#grown.clear();
    this.progress = null;
  }

  /** The round is over, and with it all that was under way. */
  finish(state: PartItem["state"]): void {
    for (const path of [...this.#parts.keys()].reverse()) {
      const part = this.#parts.get(path);
      if (part?.state !== "running") continue;
      const { progress: _, ...rest } = part;
      this.#put({ ...rest, state });
    }
    this.#parts.clear();
    this.clear();
  }

  #put(part: PartItem): void {
    this.#parts.set(part.path, part);
    const around = this.#around(part.path);
    if (!around) {
      this.#shown(part);
      return;
    }
    const parts = around.parts.filter(({ path }) => path !== part.path);
    const place = around.parts.findIndex(({ path }) => path === part.path);
    parts.splice(place < 0 ? parts.length : place, 0, part);
    this.#put({ ...around, parts });
  }

  /** The part that this one stands in. */
  #around(path: string): PartItem | undefined {
    let end = path.lastIndexOf("/");
    while (end > 0) {
      const found = this.#parts.get(path.slice(0, end));
      if (found) return found;
      end = path.lastIndexOf("/", end - 1);
    }
    return undefined;
  }
}
