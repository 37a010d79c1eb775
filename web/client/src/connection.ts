/**
 * A pipe that comes back. It greets, beats, notices silence, waits and tries again
 * (docs/wire.md); what the frames mean it does not know.
 */

import type { OpenPipe, Pipe } from "./pipe";
import { type ClientFrame, type Hello, type ServerFrame, VERSION } from "./wire";

const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;
const BEAT = 15_000;
const SILENCE = 10_000;
const SILENCE_ON_WAKING = 4_000;
const STEADY = 5_000;
const LONGEST_MESSAGE = 100_000;
const BAD_GREETING = 4000;

export type ConnectionState = "connecting" | "ready" | "waiting" | "ended";

export interface ConnectionListener {
  took(frame: ServerFrame): void;
  turned(state: ConnectionState): void;
}

export class Connection {
  state: ConnectionState = "waiting";
  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  due = 0;
  /** What stands for this user where the browser keeps no cookie. */
  token = "";
  /** Keys that the user brings, for each greeting. */
  env: Record<string, string> = {};

  #open: OpenPipe;
  #listener: ConnectionListener;
  #pipe: Pipe | null = null;
  #failures = 0;
  #readySince = 0;
  #heard = 0;
  #retry: Timer;
  #beating: Timer;
  #silence: Timer;

  constructor(open: OpenPipe, listener: ConnectionListener) {
    this.#open = open;
    this.#listener = listener;
  }

  /** Connects now, unless that is under way. */
  start(): void {
    if (this.#pipe || this.state === "ended") return;
    clearTimeout(this.#retry);
    this.#turn("connecting");
    const pipe = this.#open({
      opened: () => pipe.send(JSON.stringify(this.#hello())),
      heard: (message) => this.#hear(message),
      ended: (code) => this.#lose(pipe, code),
    });
    this.#pipe = pipe;
    this.#expect(SILENCE);
  }

  /** Ends it; `start` begins anew. */
  stop(): void {
    this.#pipe?.close();
    this.#pipe = null;
    this.#hush();
    clearTimeout(this.#retry);
    this.state = "waiting";
  }

  /** The world may have changed (network back, tab in front): try at once, or see if it lives. */
  wake(): void {
    if (this.state === "waiting") {
      this.#failures = 0;
      this.start();
    } else if (this.state === "ready") {
      this.#beat(SILENCE_ON_WAKING);
    }
  }

  /**
   * Sends frames, as many in a message as fit; silently nothing while there is no connection,
   * because whoever needs an answer repeats what has none.
   */
  send(...frames: ClientFrame[]): void {
    if (this.state !== "ready" || !this.#pipe) return;
    let message = "";
    for (const line of frames.map((frame) => JSON.stringify(frame))) {
      if (message && message.length + line.length > LONGEST_MESSAGE) {
        this.#pipe.send(message);
        message = "";
      }
      message += message ? `\n${line}` : line;
    }
    if (message) this.#pipe.send(message);
  }

  #hello(): ClientFrame {
    const hello = { t: "hello" as const, versions: [VERSION] };
    return {
      ...hello,
      ...(this.token ? { resume: this.token } : {}),
      ...(Object.keys(this.env).length ? { env: this.env } : {}),
    };
  }

  #turn(state: ConnectionState): void {
    this.state = state;
    this.#listener.turned(state);
  }

  #hear(message: string): void {
    this.#heard = Date.now();
    clearTimeout(this.#silence);
    for (const line of message.split("\n")) {
      if (!line) continue;
      const frame = JSON.parse(line) as ServerFrame;
      if (frame.t === "hello") this.#greeted(frame);
      this.#listener.took(frame);
    }
  }

  #greeted({ resume = "" }: Hello): void {
    this.token = resume;
    this.#readySince = Date.now();
    clearInterval(this.#beating);
    this.#beating = setInterval(() => this.#beat(SILENCE), BEAT);
    this.#turn("ready");
  }

  #beat(patience: number): void {
    this.send({ t: "ping" });
    this.#expect(patience);
  }

  /**
   * Gives the pipe up if nothing is heard within `patience`. Timers of a hidden tab run late, so
   * the time of the last frame decides, not the timer.
   */
  #expect(patience: number): void {
    const pipe = this.#pipe;
    const since = Date.now();
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      if (!pipe || pipe !== this.#pipe || this.#heard >= since) return;
      pipe.close();
      this.#lose(pipe, 0);
    }, patience);
  }

  #lose(pipe: Pipe, code: number): void {
    if (pipe !== this.#pipe) return;
    this.#pipe = null;
    this.#hush();
    if (code === BAD_GREETING) {
      this.#turn("ended");
      return;
    }
    const steady = this.state === "ready" && Date.now() - this.#readySince > STEADY;
    if (steady) this.#failures = 0;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    const delay = wait * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.due = Date.now() + delay;
    this.#retry = setTimeout(() => this.start(), delay);
    this.#turn("waiting");
  }

  #hush(): void {
    clearInterval(this.#beating);
    clearTimeout(this.#silence);
  }
}

type Timer = ReturnType<typeof setTimeout> | undefined;
