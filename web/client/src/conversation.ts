/**
 * This client's side of one session: opens or attaches, resumes after every loss, sends commands
 * until they are answered.
 */

import { freshId, Outbox, type Outgoing } from "./outbox";
import type { Shelf } from "./shelf";
import { Transcript } from "./transcript";
import type {
  Ack,
  ClientFrame,
  Command,
  FileRef,
  Rating,
  Records,
  Refused,
  ServerFrame,
} from "./wire";

const RETRIES = 8;
const RESYNC_PAUSE = 5_000;
const PASSING = new Set(["busy", "overloaded", "unavailable"]);

/** What a conversation needs of the client it belongs to. */
export interface Surroundings {
  send(...frames: ClientFrame[]): void;
  changed(): void;
  /** Where this session's things are kept; with "" those of none. */
  shelf(session: string): Shelf;
}

export interface Answer {
  value?: unknown;
  text?: string;
  files?: FileRef[];
}

/** What a new session begins with. */
export interface Beginning {
  profile?: string;
  settings?: unknown;
}

/** Why there is no conversation to be had. */
export interface Trouble {
  code: string;
  message: string;
}

export class Conversation {
  readonly transcript = new Transcript();
  outbox: Outbox;
  trouble: Trouble | null = null;
  /** What this client has sent: the type of each command, by its id. */
  readonly sent = new Map<string, Command["t"]>();
  /** Why signals of this client were not taken, by the command's id. */
  readonly refusedSignals = new Map<string, Trouble>();
  /** The id under which a new session is asked for. */
  opening = "";

  #session: string;
  #beginning: Beginning;
  #around: Surroundings;
  #attaching = false;
  #resynced = 0;
  /** Who waits for the outcome of a command, by its id. */
  #waiting = new Map<string, (problem: string) => void>();
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** `session` "" opens a new one. */
  constructor(session: string, around: Surroundings, beginning: Beginning = {}) {
    this.#session = session;
    this.#beginning = beginning;
    this.#around = around;
    this.outbox = new Outbox(around.shelf(session));
    for (const { id, command } of this.outbox.all) this.sent.set(id, command.t);
  }

  /** Its id; "" until the server has given it one. */
  get session(): string {
    return this.#session;
  }

  // -- what the user does -----------------------------------------------------------------------

  say(text: string, files: FileRef[] = []): void {
    this.#send(this.outbox.add({ t: "say", text, ...ids(files) }, text, files));
  }

  /** `shown` is how the answer reads until it is recorded. */
  answer(question: number, { files = [], ...answer }: Answer, shown: string): void {
    const command = { t: "answer" as const, question, ...answer, ...ids(files) };
    this.#send(this.outbox.add(command, shown, files));
  }

  /** Ends the running round, and no later one. */
  stop(): void {
    const { round } = this.transcript;
    if (round) this.#send(this.outbox.add({ t: "stop", round }));
  }

  /** What is returned is the id of the command. */
  signal(name: string, data?: unknown): string {
    const outgoing = this.outbox.add({
      t: "signal",
      name,
      ...(data === undefined ? {} : { data }),
    });
    this.#send(outgoing);
    return outgoing.id;
  }

  /** Says what the user thinks of the message with this seq. */
  rate(message: number, rating: Rating, reason = ""): void {
    const command = { t: "rate" as const, message, rating, ...(reason ? { reason } : {}) };
    this.#send(this.outbox.add(command));
  }

  /** Sets what the app lets users set; "" when it is done, else why it is not. */
  configure(settings: unknown): Promise<string> {
    const outgoing = this.outbox.add({ t: "configure", settings });
    const done = new Promise<string>((resolve) => this.#waiting.set(outgoing.id, resolve));
    this.#send(outgoing);
    return done;
  }

  close(): void {
    this.#send(this.outbox.add({ t: "close" }));
  }

  /** Sends a refused command again: the refusal left no trace of it. */
  retry(id: string): void {
    const outgoing = this.outbox.get(id);
    if (!outgoing) return;
    outgoing.tries = 0;
    this.outbox.mark(id, "sent");
    this.#send(outgoing);
  }

  discard(id: string): void {
    this.outbox.drop(id);
    this.#around.changed();
  }

  /** Whether an answer to `question` is under way. */
  answering(question: number): boolean {
    return this.outbox.all.some(
      ({ command }) => command.t === "answer" && command.question === question,
    );
  }

  /** What was said or answered here and is not in the log yet, or was refused. */
  get underway(): Outgoing[] {
    return this.outbox.all.filter(({ id, command, state, text, files }) => {
      if (this.transcript.recorded.has(id) || !(text || files.length)) return false;
      return command.t === "say" || (command.t === "answer" && state !== "refused");
    });
  }

  // -- what the connection does -----------------------------------------------------------------

  /** There is a connection: opens the session or attaches to it, then repeats what has no answer. */
  enter(): void {
    clearTimeout(this.#retry);
    const session = this.#session;
    if (!session) {
      const shelf = this.#around.shelf("");
      this.opening ||= String(shelf.read("open") ?? freshId());
      shelf.write("open", this.opening);
      this.#around.send({ t: "open", id: this.opening, ...this.#beginning });
      return;
    }
    this.#attaching = true;
    const repeated = this.outbox.unanswered.map(({ id, command }) => ({ ...command, id, session }));
    this.#around.send({ t: "attach", session, after: this.transcript.place }, ...repeated);
  }

  /** There is none. */
  pause(): void {
    this.#attaching = false;
    this.transcript.live = false;
  }

  /** Nobody looks at it any more. */
  leave(): void {
    clearTimeout(this.#retry);
    if (this.#session) this.#around.send({ t: "detach", session: this.#session });
    else this.#around.shelf("").write("open", null);
  }

  /** Takes a frame of its session. */
  take(frame: ServerFrame): void {
    switch (frame.t) {
      case "records":
        this.#record(frame);
        break;
      case "delta":
        if (!this.transcript.addDelta(frame)) this.#resync();
        break;
      case "part":
        if (!this.transcript.addPart(frame)) this.#resync();
        break;
      case "progress":
        this.transcript.addProgress(frame);
        break;
      case "live":
        this.#attaching = false;
        this.transcript.goLive();
        break;
      case "ack":
        this.#acknowledge(frame);
        break;
      case "refused":
        this.#refuse(frame);
        break;
      default: // a frame of a later version
    }
  }

  #send(outgoing: Outgoing): void {
    const { id, command } = outgoing;
    this.sent.set(id, command.t);
    if (this.#session) this.#around.send({ ...command, id, session: this.#session });
    this.#around.changed();
  }

  #record(frame: Records): void {
    if (!this.transcript.addRecords(frame, Date.now() / 1000)) {
      this.#attach();
      return;
    }
    for (const { id } of this.outbox.all) {
      if (this.transcript.recorded.has(id)) this.outbox.drop(id);
    }
  }

  /** Text is missing that is no record. Not too often, or a server could make it a storm. */
  #resync(): void {
    if (Date.now() - this.#resynced < RESYNC_PAUSE) return;
    this.#resynced = Date.now();
    this.#attach();
  }

  /** Frames that were on their way arrive before the new place: they ask for no second attach. */
  #attach(): void {
    if (this.#attaching) return;
    this.#attaching = true;
    this.transcript.live = false;
    const after = this.transcript.place;
    this.#around.send({ t: "attach", session: this.#session, after });
  }

  #acknowledge({ id, session }: Ack): void {
    if (!this.#session) this.#settle(session);
    this.#tell(id, "");
    const outgoing = this.outbox.get(id);
    if (!outgoing) return;
    const shown = outgoing.text || outgoing.files.length;
    if (shown && !this.transcript.recorded.has(id)) this.outbox.mark(id, "acknowledged");
    else this.outbox.drop(id);
  }

  #tell(id: string, problem: string): void {
    this.#waiting.get(id)?.(problem);
    this.#waiting.delete(id);
  }

  /** The new session has its id. */
  #settle(session: string): void {
    this.#session = session;
    this.outbox = new Outbox(this.#around.shelf(session));
    this.#around.shelf("").write("open", null);
  }

  #refuse({ id, code, message, retry_after: pause }: Refused): void {
    const outgoing = id === undefined ? undefined : this.outbox.get(id);
    if (outgoing) {
      this.#refuseCommand(outgoing, code, message, pause);
    } else if (PASSING.has(code) || (code === "too_many" && pause)) {
      this.#retry = setTimeout(() => this.enter(), 1000 * (pause ?? 1));
    } else if (!this.transcript.live) {
      this.trouble = { code, message };
      this.#around.shelf("").write("open", null);
    }
  }

  #refuseCommand(outgoing: Outgoing, code: string, message: string, pause = 1): void {
    const { id, command } = outgoing;
    if (PASSING.has(code) && code !== "busy" && outgoing.tries < RETRIES) {
      outgoing.tries += 1;
      setTimeout(() => this.#send(outgoing), 1000 * pause);
    } else if (command.t === "say") {
      this.outbox.mark(id, "refused", message, code);
    } else {
      this.outbox.drop(id);
      this.#tell(id, message || code);
      if (command.t === "answer") this.transcript.reject(command.question, message, id);
      if (command.t === "signal") this.refusedSignals.set(id, { code, message });
    }
  }
}

const ids = (files: FileRef[]) => (files.length ? { files: files.map(({ id }) => id) } : {});
