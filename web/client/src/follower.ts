/**
 * Follows one session over HTTP: a stream of events that is opened again at its place whenever it
 * ends. Where a proxy keeps the stream to itself, or while nobody looks, it asks again and again
 * instead.
 */

import { EventParser } from "./events";

/** The first frame of a stream comes at once; later, the server beats every 10 seconds. */
const FIRST = 5_000;
const SILENCE = 25_000;
/** How long the server may hold a request that waits for news. */
const WAIT = 20;
const SLACK = 10_000;
const PAUSE = 500;
const HIDDEN_PAUSE = 5_000;
const MOST_SILENT = 2;

/** What all followers of one server have learnt about the way there. */
export interface Way {
  /** Streams do not come through. */
  keepsStreams: boolean;
}

export interface FollowerOptions {
  address: (query: string) => URL;
  headers: () => Record<string, string>;
  /** Whether nobody looks: browsers let a page have few connections to a server. */
  hidden: () => boolean;
  way: Way;
  heard: (message: string) => void;
  /** The server cannot be reached. */
  lost: () => void;
}

export class Follower {
  #options: FollowerOptions;
  #place: string;
  #ended = false;
  /** Whether anything ever came, and how often nothing came any more. */
  #heard = false;
  #silences = 0;
  #request: AbortController | null = null;
  #rouse = () => {};

  constructor(after: number, options: FollowerOptions) {
    this.#place = String(after);
    this.#options = options;
    void this.#follow();
  }

  end(): void {
    this.#ended = true;
    this.#request?.abort();
    this.#rouse();
  }

  /** Somebody looks again. */
  wake(): void {
    this.#rouse();
  }

  async #follow(): Promise<void> {
    while (await this.#goOn());
  }

  async #goOn(): Promise<boolean> {
    const { way, hidden, lost } = this.#options;
    const looks = !hidden();
    const streams = looks && !way.keepsStreams;
    const came = await this.#ask(streams ? null : looks ? WAIT : 0);
    if (this.#ended) return false;
    if (!came) lost();
    else if (!looks) await this.#rest(HIDDEN_PAUSE);
    else if (streams) await this.#rest(PAUSE);
    return came && !this.#ended;
  }

  /** One request, until it ends; `wait` null: a stream. False if the server was not reached. */
  async #ask(wait: number | null): Promise<boolean> {
    const { address, headers, way } = this.#options;
    const request = new AbortController();
    this.#request = request;
    let silent = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const expect = (patience: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        silent = true;
        request.abort();
      }, patience);
    };
    expect(wait === null ? FIRST : wait * 1000 + SLACK);
    try {
      const response = await fetch(address(wait === null ? "" : `?wait=${wait}`), {
        headers: { ...headers(), "Last-Event-ID": this.#place },
        cache: "no-store",
        signal: request.signal,
      });
      if (!response.body || response.status >= 502) return false;
      if (!response.ok) return await this.#refuse(response);
      await this.#read(response.body, () => wait === null && expect(SILENCE));
      return true;
    } catch {
      if (!silent || wait !== null) return false;
      // nothing at all, or nothing any more: somebody in between keeps what the server says
      this.#silences += 1;
      if (this.#silences >= MOST_SILENT || !this.#heard) way.keepsStreams = true;
      return true;
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(body: ReadableStream<Uint8Array>, came: () => void): Promise<void> {
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#ended) return;
      const events = parser.take(decoder.decode(value, { stream: true }));
      if (!events.length) continue;
      came();
      this.#heard = true;
      this.#place = events.at(-1)?.id || this.#place;
      this.#options.heard(events.map(({ data }) => data).join("\n"));
      if (this.#options.hidden()) return void (await reader.cancel());
    }
  }

  /** The server will not tell of this session: it says why, and whoever follows asks again. */
  async #refuse(response: Response): Promise<boolean> {
    const text = await response.text();
    if (!text.startsWith('{"t":"refused"')) return false;
    this.#options.heard(text.trim());
    this.#ended = true;
    return true;
  }

  #rest(pause: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#rouse = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
