/**
 * The list as far as it has been fetched: first pages anew whenever something may have changed,
 * further ones on demand, and what a search finds. What it looks like it does not know.
 */

import type { Thread, Threads } from "@parlour/client/threads";

const PAGE = "50";
const AGAIN = 400;

export class Listing {
  threads: Thread[] = [];
  query = "";
  state: "loading" | "ready" | "failed" = "loading";
  /** Whether a search has looked through everything. */
  complete = true;

  #requests: Threads;
  #changed: () => void;
  #next = "";
  /** Answers to questions that nobody asks any more are not heard. */
  #turn = 0;
  #loads = false;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(requests: Threads, changed: () => void) {
    this.#requests = requests;
    this.#changed = changed;
  }

  get more(): boolean {
    return this.#next !== "";
  }

  search(query: string): void {
    if (query === this.query) return;
    this.query = query;
    this.state = "loading";
    void this.refresh();
  }

  /** The first page anew; what was fetched beyond it stays behind it. */
  async refresh(): Promise<void> {
    clearTimeout(this.#again);
    this.#turn += 1;
    const turn = this.#turn;
    const { query } = this;
    try {
      const page = await this.#requests.list({ limit: PAGE, ...(query && { q: query }) });
      if (turn !== this.#turn) return;
      const ids = new Set(page.threads.map(({ id }) => id));
      const end = page.threads.at(-1)?.updated ?? 0;
      const known = this.#of === query && page.next ? this.threads : [];
      const rest = known.filter(({ id, updated }) => !ids.has(id) && updated < end);
      this.threads = [...page.threads, ...rest];
      if (!rest.length) this.#next = page.next ?? "";
      this.#of = query;
      this.complete = page.complete !== false;
      this.state = "ready";
      if (!this.complete) this.#again = setTimeout(() => void this.refresh(), AGAIN);
    } catch {
      if (turn !== this.#turn) return;
      this.state = "failed";
    }
    this.#changed();
  }

  /** What `threads` were found by. */
  #of = "";

  /** The next page, if there is one. */
  async extend(): Promise<void> {
    if (!this.#next || this.#loads || this.state !== "ready") return;
    const { query } = this;
    this.#loads = true;
    try {
      const after = this.#next;
      const page = await this.#requests.list({ limit: PAGE, after, ...(query && { q: query }) });
      if (query !== this.query) return;
      const ids = new Set(this.threads.map(({ id }) => id));
      this.threads = [...this.threads, ...page.threads.filter(({ id }) => !ids.has(id))];
      this.#next = page.next ?? "";
    } catch {
      this.state = "failed";
    } finally {
      this.#loads = false;
      this.#changed();
    }
  }

  /** What is known without asking: it is gone, or is called something else. */
  patch(session: string, title: string | null): void {
    const index = this.threads.findIndex((thread) => thread.session === session);
    const thread = this.threads[index];
    if (!thread) return;
    this.threads =
      title === null
        ? this.threads.toSpliced(index, 1)
        : this.threads.with(index, { ...thread, title });
    this.#changed();
  }

  end(): void {
    clearTimeout(this.#again);
    this.#turn += 1;
  }
}
