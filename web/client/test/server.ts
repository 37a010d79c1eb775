/** The other end of a pipe: hears frames, answers by hand, and can be cut off. */

import type { OpenPipe, PipeListener } from "../src/pipe";
import type { ClientFrame, ServerFrame } from "../src/wire";
import { user } from "./events";

export class FakeServer {
  /** What came over each pipe, in order. */
  heard: ClientFrame[] = [];
  pipes = 0;
  #listener: PipeListener | null = null;
  #greeted = false;

  /** Whether somebody waits for a greeting. */
  get rung(): boolean {
    return !!this.#listener && !this.#greeted;
  }

  open: OpenPipe = (listener) => {
    this.pipes += 1;
    this.#listener = listener;
    this.#greeted = false;
    return {
      send: (message) => {
        for (const line of message.split("\n")) this.heard.push(JSON.parse(line));
      },
      close: () => {
        if (this.#listener === listener) this.#listener = null;
      },
    };
  };

  /** Takes the pipe up and greets. */
  greet(): void {
    this.#greeted = true;
    this.#listener?.opened();
    this.say({ t: "hello", version: 1, user: "u1", resume: "token" });
  }

  say(...frames: ServerFrame[]): void {
    this.#listener?.heard(frames.map((frame) => JSON.stringify(frame)).join("\n"));
  }

  cut(code = 1006): void {
    const listener = this.#listener;
    this.#listener = null;
    listener?.ended(code);
  }

  of<T extends ClientFrame["t"]>(t: T): Extract<ClientFrame, { t: T }>[] {
    return this.heard.filter((frame) => frame.t === t) as Extract<ClientFrame, { t: T }>[];
  }
}

/** One that keeps a log of what is said, as a real one does, and answers when it is told to. */
export class KeepingServer extends FakeServer {
  log: { id: string; text: string }[] = [];

  /** Works off what was heard. */
  take(): void {
    const frames = this.heard;
    this.heard = [];
    for (const frame of frames) {
      if (frame.t === "attach") this.#replay(frame.session, frame.after);
      else if (frame.t === "say") this.#keep(frame);
    }
  }

  #keep({ session, id, text }: { session: string; id: string; text: string }): void {
    const known = this.log.findIndex((said) => said.id === id) + 1;
    const seq = known || this.log.push({ id, text });
    if (!known) this.#replay(session, seq - 1);
    this.say({ t: "ack", session, id, seq });
  }

  #replay(session: string, after: number): void {
    const records = this.log.slice(after).map(({ id, text }) => user(text, id));
    this.say({ t: "records", session, after, records }, { t: "live", session });
  }
}
