/**
 * Pipes without a socket (docs/wire.md): commands go by POST, one request at a time so that they
 * keep their order, and each session is followed by a stream of events.
 */

import { Follower, type Way } from "./follower";
import type { OpenPipe, Pipe, PipeListener } from "./pipe";
import type { ClientFrame, ServerFrame } from "./wire";

const LONGEST_POST = 20_000;
const LOST = 1006;

export interface HttpOptions {
  /** Whether nobody looks at what comes. */
  hidden?: () => boolean;
}

/** Pipes that are requests to the server at `base`. */
export function overHttp(base: URL, { hidden = () => false }: HttpOptions = {}): OpenPipe {
  const way: Way = { keepsStreams: false };
  return (listener) => {
    const pipe = new HttpPipe(base, listener, hidden, way);
    queueMicrotask(() => pipe.begin());
    return pipe;
  };
}

class HttpPipe implements Pipe {
  #base: URL;
  #listener: PipeListener;
  #hidden: () => boolean;
  #way: Way;
  #token = "";
  #ended = false;
  #waiting: ClientFrame[] = [];
  #posting = false;
  #end = new AbortController();
  /** The session that was attached last. */
  #front = "";
  #followers = new Map<string, Follower>();
  /** The ids under which new sessions are asked for. */
  #opening = new Set<string>();

  constructor(base: URL, listener: PipeListener, hidden: () => boolean, way: Way) {
    this.#base = base;
    this.#listener = listener;
    this.#hidden = hidden;
    this.#way = way;
  }

  begin(): void {
    if (!this.#ended) this.#listener.opened();
  }

  send(message: string): void {
    for (const line of message.split("\n")) this.#take(JSON.parse(line));
    void this.#post();
  }

  close(): void {
    this.#ended = true;
    this.#end.abort();
    for (const follower of this.#followers.values()) follower.end();
  }

  #take(frame: ClientFrame): void {
    switch (frame.t) {
      case "attach":
        this.#follow(frame.session, frame.after);
        break;
      case "detach":
        this.#leave(frame.session);
        break;
      case "hello":
        this.#token = frame.resume ?? "";
        this.#waiting.push(frame);
        break;
      case "ping":
        if (!this.#hidden()) for (const follower of this.#followers.values()) follower.wake();
        this.#waiting.push(frame);
        break;
      case "open":
        this.#opening.add(frame.id);
        this.#waiting.push(frame);
        break;
      default:
        this.#waiting.push(frame);
    }
  }

  #follow(session: string, after: number): void {
    this.#leave(session);
    this.#front = session;
    const path = `sessions/${encodeURIComponent(session)}/events`;
    const follower = new Follower(after, {
      address: (query) => new URL(path + query, this.#base),
      headers: () => this.#headers(),
      // a page has few connections: only what is in front has a stream
      hidden: () => this.#hidden() || this.#front !== session,
      way: this.#way,
      heard: (message) => this.#hear(message),
      lost: () => this.#lose(),
    });
    this.#followers.set(session, follower);
  }

  #leave(session: string): void {
    this.#followers.get(session)?.end();
    this.#followers.delete(session);
  }

  #headers(): Record<string, string> {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async #post(): Promise<void> {
    if (this.#posting || this.#ended) return;
    this.#posting = true;
    while (this.#waiting.length && !this.#ended) {
      const frames = this.#waiting.splice(0, 64);
      const answer = await this.#exchange(frames);
      if (this.#ended) return;
      if (answer === null) {
        this.#lose();
        return;
      }
      this.#hear(answer);
    }
    this.#posting = false;
  }

  /** What the server answers; null if that is not known. */
  async #exchange(frames: ClientFrame[]): Promise<string | null> {
    try {
      const response = await fetch(new URL("commands", this.#base), {
        method: "POST",
        headers: { ...this.#headers(), "Content-Type": "application/x-ndjson" },
        body: frames.map((frame) => JSON.stringify(frame)).join("\n"),
        signal: AbortSignal.any([this.#end.signal, AbortSignal.timeout(LONGEST_POST)]),
      });
      const text = (await response.text()).trim();
      if (text.startsWith('{"t":')) return text;
      return response.status === 413 ? await this.#divide(frames) : null;
    } catch {
      return null;
    }
  }

  /** Somebody in between takes no message of that size, and would not take it the next time. */
  async #divide(frames: ClientFrame[]): Promise<string | null> {
    if (frames.length === 1) return frames.flatMap(tooLarge).join("\n");
    const answers = [];
    for (const frame of frames) {
      const answer = await this.#exchange([frame]);
      if (answer === null) return null;
      answers.push(answer);
    }
    return answers.filter(Boolean).join("\n");
  }

  #hear(message: string): void {
    if (this.#ended || !message) return;
    const frames = message.split("\n").map((line) => JSON.parse(line) as ServerFrame);
    for (const frame of frames) {
      // where there is no cookie, this is who we are from now on
      if (frame.t === "hello" && frame.resume) this.#token = frame.resume;
    }
    this.#listener.heard(message);
    for (const frame of frames) {
      // over a socket whoever opens a session is attached to it
      if (frame.t === "ack" && this.#opening.delete(frame.id)) this.#follow(frame.session, 0);
    }
  }

  #lose(): void {
    if (this.#ended) return;
    this.close();
    this.#listener.ended(LOST);
  }
}

function tooLarge(frame: ClientFrame): string[] {
  if (!("id" in frame)) return [];
  const session = "session" in frame ? { session: frame.session } : {};
  return [
    JSON.stringify({ t: "refused", code: "too_large", message: "", id: frame.id, ...session }),
  ];
}
