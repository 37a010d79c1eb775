/**
 * One session as its records tell it: what was said, what is asked, what is being written. It takes
 * frames and changes; it sends nothing, shows nothing and reads no clock.
 */

import type {
  BotItem,
  Item,
  NoticeItem,
  PartItem,
  QuestionItem,
  Rejection,
  UserItem,
} from "./items";
import { Streams, streamKey } from "./streams";
import type { Delta, Event, EventOf, PartDelta, Progress, Records } from "./wire";
import { Work } from "./work";

export class Transcript {
  /** All records until here are in. */
  place = 0;
  /** Whether everything until now has come. */
  live = false;
  closed = false;
  /** The running round's number, 0 if none runs. */
  round = 0;
  /** How far this machine's clock is ahead of the server's, in seconds. */
  skew = 0;
  /** Which of the app's profiles answers. */
  profile = "";
  /** What the user has set in the app's panel; undefined: nothing yet. */
  settings: unknown;
  streams = new Streams();
  /** The parts of what the round does, and how far they are. */
  readonly work = new Work((part) => this.#show(part));
  /** What each round answers: the numbers of users' messages, by that of the round. */
  readonly prompts = new Map<number, number>();
  /** Ids of commands that are in the log. */
  recorded = new Set<string>();

  #items: Item[] = [];
  #index = new Map<string, number>();
  /** Messages that came in a round: shown last, until their own begins. */
  #queue: UserItem[] = [];
  /** Keys of open questions by number, oldest first. */
  #open = new Map<number, string>();
  #skewed = false;

  /** Everything there is to show, in order. */
  get items(): Item[] {
    return [...this.#items, ...this.streams.items, ...this.#queue];
  }

  /** The open questions, oldest first. */
  get questions(): QuestionItem[] {
    return [...this.#open.values()].map((key) => this.#find(key) as QuestionItem);
  }

  /** Takes a `records` frame. False: something is missing, attach again from `place`. */
  addRecords({ after, at, records }: Records, now: number): boolean {
    if (after > this.place) return false;
    if (this.live && at !== undefined) this.#compare(now - at);
    records.forEach((event, index) => {
      const seq = after + 1 + index;
      if (seq <= this.place) return;
      this.place = seq;
      if (event) this.#evolve(seq, event, at);
    });
    return true;
  }

  /** What was written before may have been lost with the connection; what is true comes next. */
  goLive(): void {
    this.live = true;
    this.streams.clear();
    this.work.clear();
  }

  /** Takes a `delta` frame. False: text before it is missing, attach again. */
  addDelta(delta: Delta): boolean {
    return this.#index.has(streamKey(delta.round, delta.path)) || this.streams.add(delta);
  }

  /** Takes a `part` frame. False: text before it is missing, attach again. */
  addPart(delta: PartDelta): boolean {
    return delta.round !== this.round || this.work.add(delta);
  }

  addProgress(progress: Progress): void {
    if (progress.round === this.round) this.work.take(progress);
  }

  /** An answer was not taken; if its question still stands, it says why. */
  reject(question: number, reason: string, command: string, text = "", more: Why = {}): void {
    const key = this.#open.get(question);
    if (key) this.#change<QuestionItem>(key, { rejection: { text, reason, command, ...more } });
  }

  #evolve(seq: number, event: Event, at?: number): void {
    if ("command" in event && event.command) this.recorded.add(event.command);
    const when = at === undefined ? { seq } : { seq, at };
    switch (event.type) {
      case "MessageAdded":
        if (event.role === "user") this.#said(event, when);
        else this.#wrote(event, when);
        break;
      case "RoundStarted":
        this.round = event.round;
        if (event.source) this.prompts.set(event.round, event.source);
        this.#take(({ seq: said = 0 }) => said <= (event.source ?? 0));
        break;
      case "MessagesTaken":
        this.#take(({ seq: said = 0 }) => !!event.sources?.includes(said));
        break;
      case "PartBegun":
        this.work.begin(event, this.round, when);
        break;
      case "PartEnded":
        this.work.end(event, at);
        break;
      case "RoundFinished":
        this.#finish(event, when);
        break;
      case "QuestionAsked":
        this.#asked(event, when);
        break;
      case "QuestionAnswered":
        this.#settle(event.question, "answered");
        this.#said(event, when, true);
        break;
      case "AnswerRejected":
        this.#rejected(event);
        break;
      case "QuestionClosed":
        this.#settle(event.question, event.reason ?? "withdrawn");
        break;
      case "SessionOpened":
        this.profile = event.profile ?? "";
        break;
      case "SettingsChanged":
        this.settings = event.values;
        break;
      case "FeedbackGiven":
        this.#rated(event);
        break;
      case "ComponentShown":
        this.#showed(event, when);
        break;
      case "SessionClosed":
        this.closed = true;
        this.#notice(event.reason ?? "closed", when);
        break;
      default: // an event of a later version, or one that shows nothing
    }
  }

  /** `answers`: what answers a question stands where it was given, whatever else is going on. */
  #said(
    { text = "", files = [], command = "" }: { text?: string; files?: UserItem["files"] } & Given,
    when: When,
    answers = false,
  ): void {
    // what a message of this tab was shown under before it was recorded
    const own = `c:${command}`;
    const key = command && !this.#index.has(own) ? own : `r:${when.seq}`;
    const waits = !answers && this.round > 0;
    const prompt = !answers && !waits;
    const item: UserItem = { kind: "user", key, text, files, waits, prompt, ...when };
    if (waits) this.#queue.push(item);
    else this.#add(item);
  }

  #wrote({ text = "", files = [], path = "", actions }: EventOf<"MessageAdded">, when: When): void {
    const named = streamKey(this.round, path);
    this.streams.drop(named);
    const key = path && !this.#index.has(named) ? named : `r:${when.seq}`;
    const { round } = this;
    const about = { round, path, text, files, ...(actions && { actions }) };
    this.#add({ kind: "bot", key, ...about, state: "whole", ...when });
  }

  #rejected({ question, reason = "", command = "", text, code, values }: Rejected): void {
    const why: Why = { ...(code ? { code } : {}), ...(values ? { values } : {}) };
    this.reject(question, reason, command, text, why);
  }

  #rated({ message, rating = "", reason = "" }: EventOf<"FeedbackGiven">): void {
    const rated = this.#items.findLast(({ seq }) => seq === message);
    if (rated?.kind === "bot") this.#change<BotItem>(rated.key, { rating: { rating, reason } });
  }

  #showed({ name, data, text = "" }: EventOf<"ComponentShown">, when: When): void {
    this.#add({ kind: "component", key: `r:${when.seq}`, name, data, text, ...when });
  }

  #asked(event: EventOf<"QuestionAsked">, when: When): void {
    const { text = "", question, path = "", note = "", deadline } = event;
    const { round } = this;
    const key = `r:${when.seq}`;
    const about = {
      text,
      question,
      round,
      path,
      note,
      ...(deadline === undefined ? {} : { deadline }),
    };
    this.#add({ kind: "question", key, state: "open", ...about, ...when });
    this.#open.set(when.seq, key);
  }

  /** Messages that waited stand where their round begins. */
  #take(goes: (item: UserItem) => boolean): void {
    const taken = this.#queue.filter(goes);
    this.#queue = this.#queue.filter((item) => !taken.includes(item));
    for (const item of taken) this.#add({ ...item, waits: false });
  }

  #finish(event: EventOf<"RoundFinished">, when: When): void {
    const { status, reason = "", error = "" } = event;
    this.round = 0;
    for (const { seq, round } of this.questions) {
      if (round === event.round) this.#settle(seq, status === "done" ? "withdrawn" : "answered");
    }
    for (const item of this.streams.end(event.round)) {
      if (status !== "done" && item.text) this.#add<BotItem>({ ...item, state: "unfinished" });
    }
    this.work.finish(status === "diverged" ? "failed" : status);
    if (status !== "done") this.#notice(status, when, reason, error);
  }

  /** A part that stands in no other. */
  #show(part: PartItem): void {
    const place = this.#index.get(part.key);
    if (place === undefined) this.#add(part);
    else this.#items[place] = part;
  }

  #settle(number: number, state: QuestionItem["state"]): void {
    const key = this.#open.get(number);
    if (!key) return;
    this.#open.delete(number);
    this.#change<QuestionItem>(key, { state });
  }

  #notice(status: NoticeItem["status"], when: When, reason = "", error = ""): void {
    this.#add({ kind: "notice", key: `r:${when.seq}`, status, reason, error, ...when });
  }

  #find(key: string): Item | undefined {
    return this.#items[this.#index.get(key) ?? -1];
  }

  #add<T extends Item>(item: T): void {
    this.#index.set(item.key, this.#items.push(item) - 1);
  }

  #change<T extends Item>(key: string, parts: Partial<T>): void {
    const index = this.#index.get(key) ?? -1;
    const item = this.#items[index];
    if (item) this.#items[index] = { ...item, ...parts } as Item;
  }

  /** A frame takes time to arrive, so the smallest difference seen is the best. */
  #compare(seen: number): void {
    this.skew = this.#skewed ? Math.min(this.skew, seen) : seen;
    this.#skewed = true;
  }
}

interface When {
  seq: number;
  at?: number;
}

type Rejected = EventOf<"AnswerRejected">;
type Why = Pick<Rejection, "code" | "values">;

interface Given {
  command?: string;
}
