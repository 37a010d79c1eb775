/**
 * Which branches of a conversation say something else in the same place. A branch is a session
 * whose first `upto` records are those of its `origin`; the message it was made for comes next,
 * after the few records that a branch begins with.
 */

import type { Branch } from "./threads";

/** A branch says where it comes from, what was stopped there and its title before its message. */
const BEGINNING = 3;

/** The sessions to look at for each of the variants of a message, and which of them this one is. */
export interface Variants {
  sessions: string[];
  index: number;
  /** The record after which they differ. */
  after: number;
}

interface Place {
  session: string;
  seq: number;
}

export class Family {
  #branches: Map<string, Branch>;

  constructor(branches: Branch[]) {
    this.#branches = new Map(branches.map((branch) => [branch.session, branch]));
  }

  has(session: string): boolean {
    return this.#branches.has(session);
  }

  /** Of the message at record `seq` of a session; null if nothing else was ever said there. */
  variants(session: string, seq: number): Variants | null {
    const own = this.#branches.get(this.#writer(session, seq));
    if (!own) return null;
    const opens = this.#isBranch(own) && seq <= own.upto + BEGINNING + 1;
    const place = opens ? this.#place(own) : this.#home(session, seq - 1);
    const others = [...this.#branches.values()].filter((branch) => {
      if (!this.#isBranch(branch)) return false;
      const other = this.#place(branch);
      return other.session === place.session && other.seq === place.seq;
    });
    if (!others.length) return null;
    const all = [place.session, ...others.map((branch) => branch.session)];
    const sessions = all.map((first) => this.#latest(first, place));
    return { sessions, index: Math.max(0, all.indexOf(own.session)), after: place.seq };
  }

  /** The branch that was last updated of those that go through what `first` says at a place. */
  #latest(first: string, place: Place): string {
    let latest: Branch | undefined;
    for (const branch of this.#branches.values()) {
      if (!this.#passes(branch, first, place)) continue;
      if (!latest || branch.updated > latest.updated) latest = branch;
    }
    return latest?.session ?? first;
  }

  #passes(branch: Branch, first: string, place: Place): boolean {
    let limit = Number.POSITIVE_INFINITY;
    let current: Branch | undefined = branch;
    while (current) {
      if (current.session === first) {
        const opening = first === place.session ? place.seq : (current.upto ?? 0) + BEGINNING;
        return limit > opening;
      }
      limit = Math.min(limit, current.upto ?? 0);
      current = this.#branches.get(current.origin ?? "");
    }
    return false;
  }

  /** Where a branch leaves what others say; one that was made for a branch's own message, beside it. */
  #place(branch: Branch & { origin: string; upto: number }): Place {
    const origin = this.#branches.get(branch.origin);
    const beside = origin && this.#isBranch(origin) && branch.upto > origin.upto;
    if (beside && branch.upto <= origin.upto + BEGINNING) return this.#place(origin);
    return this.#home(branch.origin, branch.upto);
  }

  #home(session: string, seq: number): Place {
    return { session: this.#writer(session, seq), seq };
  }

  /** The session in which a record was first written. */
  #writer(session: string, seq: number): string {
    const branch = this.#branches.get(session);
    if (!branch || !this.#isBranch(branch) || seq > branch.upto) return session;
    return this.#writer(branch.origin, seq);
  }

  /** What it came from may be gone; then it stands for itself. */
  #isBranch(branch: Branch): branch is Branch & { origin: string; upto: number } {
    return !!branch.origin && branch.upto !== undefined && this.#branches.has(branch.origin);
  }
}
