/**
 * One session as its records tell it: what was said, what is asked, what is being written.
 * It takes frames and changes; it sends nothing, shows nothing and knows no DOM.
 */

/**
 * @typedef {{id: string, name: string, type?: string, size?: number}} FileRef
 *
 * @typedef {object} Item Something in the transcript; `version` grows when it changes.
 * @property {string} key
 * @property {"user" | "bot" | "question" | "notice"} kind
 * @property {number} version
 * @property {string} text
 * @property {FileRef[]} [files]
 * @property {number} [at] Unix seconds
 * @property {number} [seq]
 * @property {boolean} [streaming]
 * @property {boolean} [unfinished] what was written of a message that never came
 * @property {boolean} [waits] said, but its round has not begun
 * @property {"error" | "quiet"} [tone]
 * @property {string} [error] an id to tell the operator
 * @property {Record<string, any>} [question]
 * @property {number} [round]
 * @property {number} [deadline] Unix seconds, by the server's clock
 * @property {string} [note]
 * @property {boolean} [open]
 * @property {string} [ended] why nobody may answer any more
 * @property {{text: string, reason: string, command: string}} [rejection]
 */

export class Conversation {
  /** All records until here are in. */
  place = 0;
  /** Whether everything until now has come. */
  live = false;
  closed = false;
  /** The running round's number, 0 if none runs. */
  round = 0;
  /** How far this machine's clock is ahead of the server's, in seconds. */
  skew = 0;
  /** @type {Item[]} */
  items = [];
  /** Messages that came in a round: shown last, until their own begins. @type {Item[]} */
  queue = [];
  /** What is being written, by round and path. @type {Map<string, Item & {points: number}>} */
  streams = new Map();
  /** Open questions by number, oldest first. @type {Map<number, Item>} */
  questions = new Map();
  /** Ids of commands that are in the log. @type {Set<string>} */
  recorded = new Set();

  /** @type {Set<string>} */
  #keys = new Set();

  /**
   * Takes a `records` frame. False: something is missing, attach again from `place`.
   *
   * @param {{after: number, upto: number, at?: number, records: [number, any][]}} frame
   */
  addRecords(frame) {
    if (frame.after > this.place) return false;
    if (this.live && frame.at) this.skew = this.#skewWith(frame.at);
    for (const [seq, event] of frame.records) {
      if (seq > this.place) this.#evolve(seq, event, frame.at);
    }
    this.place = Math.max(this.place, frame.upto);
    return true;
  }

  /** What was written before may have been lost with the connection; what is true comes next. */
  goLive() {
    this.live = true;
    this.streams.clear();
  }

  /**
   * Takes a `delta` frame. False: text before it is missing, attach again.
   *
   * @param {{round: number, path: string, offset: number, text: string}} frame
   */
  addDelta({ round, path, offset, text }) {
    const key = `b:${round}:${path}`;
    if (this.#keys.has(key)) return true;
    let stream = this.streams.get(key);
    if (!stream) {
      stream = { key, kind: "bot", version: 0, text: "", streaming: true, points: 0, round };
      this.streams.set(key, stream);
    }
    const complete = offset <= stream.points;
    if (offset < stream.points) {
      stream.text = Array.from(stream.text).slice(0, offset).join("");
      stream.points = offset;
    }
    stream.text += text;
    for (const _point of text) stream.points += 1;
    stream.version += 1;
    return complete;
  }

  /** The open question that words are taken as an answer to. */
  get asked() {
    return this.questions.values().next().value;
  }

  /**
   * An answer was not taken; if its question still stands, it says why.
   *
   * @param {number} question
   * @param {string} reason
   * @param {string} command
   * @param {string} [text]
   */
  refuseAnswer(question, reason, command, text = "") {
    const item = this.questions.get(question);
    if (!item) return;
    item.rejection = { text, reason, command };
    item.version += 1;
  }

  /** @param {number} seq @param {any} event @param {number | undefined} at */
  #evolve(seq, event, at) {
    if (event.command) this.recorded.add(event.command);
    const { text = "", files = [] } = event;
    switch (event.type) {
      case "MessageAdded":
        if (event.role === "user") this.#said(seq, event, at);
        else this.#wrote(seq, event, at);
        break;
      case "RoundStarted":
        this.round = event.round;
        this.#take((item) => (item.seq ?? 0) <= (event.source ?? 0));
        break;
      case "MessagesTaken":
        this.#take((item) => event.sources?.includes(item.seq));
        break;
      case "RoundFinished":
        this.#finish(seq, event);
        break;
      case "QuestionAsked": {
        const { question, deadline, note } = event;
        const about = { question, deadline, note, round: this.round, open: true };
        const item = this.#add({ key: `r:${seq}`, kind: "question", text, seq, at, ...about });
        this.questions.set(seq, item);
        break;
      }
      case "QuestionAnswered":
        this.#settle(event.question, "");
        this.#add({ key: this.#userKey(seq, event), kind: "user", text, files, at, seq });
        break;
      case "AnswerRejected":
        this.refuseAnswer(event.question, event.reason ?? "", event.command ?? "", text);
        break;
      case "QuestionClosed":
        this.#settle(event.question, event.reason);
        break;
      case "SessionClosed":
        this.closed = true;
        this.#notice(seq, "quiet", event.reason === "expired"
          ? "This conversation has expired."
          : "This conversation has ended.");
        break;
      default: // an event of a later version
    }
  }

  /** @param {number} seq @param {any} event @param {number | undefined} at */
  #said(seq, event, at) {
    const { text = "", files = [] } = event;
    const key = this.#userKey(seq, event);
    /** @type {Item} */
    const item = { key, kind: "user", version: 0, text, files, at, seq };
    if (this.round) {
      item.waits = true;
      this.#keys.add(key);
      this.queue.push(item);
    } else {
      this.#add(item);
    }
  }

  /** @param {number} seq @param {any} event @param {number | undefined} at */
  #wrote(seq, event, at) {
    const { text = "", files = [], path = "" } = event;
    const named = `b:${this.round}:${path}`;
    const stream = this.streams.get(named);
    this.streams.delete(named);
    const key = path && !this.#keys.has(named) ? named : `r:${seq}`;
    this.#add({ key, kind: "bot", version: (stream?.version ?? 0) + 1, text, files, at, seq });
  }

  /** Messages that waited stand where their round begins. @param {(item: Item) => boolean} goes */
  #take(goes) {
    const taken = this.queue.filter(goes);
    if (!taken.length) return;
    this.queue = this.queue.filter((item) => !taken.includes(item));
    for (const item of taken) {
      item.waits = false;
      item.version += 1;
      this.items.push(item);
    }
  }

  /** @param {number} seq @param {any} event */
  #finish(seq, event) {
    this.round = 0;
    for (const [number, item] of [...this.questions]) {
      if (item.round !== event.round) continue;
      this.#settle(number, event.status === "done" ? "withdrawn" : "");
    }
    for (const [key, stream] of this.streams) {
      if (stream.round !== event.round) continue;
      this.streams.delete(key);
      if (event.status !== "done" && stream.text) {
        stream.streaming = false;
        stream.unfinished = true;
        this.#add(stream);
      }
    }
    if (event.status === "stopped") {
      this.#notice(seq, "quiet", event.reason || "Stopped");
    } else if (event.status !== "done") {
      const words = event.reason || "Something went wrong, and this was not answered.";
      this.#notice(seq, "error", words, event.error);
    }
  }

  /** @param {number} number @param {string} ended */
  #settle(number, ended) {
    const item = this.questions.get(number);
    if (!item) return;
    this.questions.delete(number);
    item.open = false;
    item.ended = ended;
    item.version += 1;
  }

  /**
   * @param {number} seq
   * @param {"error" | "quiet"} tone
   * @param {string} text
   * @param {string} [error]
   */
  #notice(seq, tone, text, error) {
    this.#add({ key: `r:${seq}`, kind: "notice", tone, text, error, seq });
  }

  /** @param {Omit<Item, "version"> & {version?: number}} parts @returns {Item} */
  #add(parts) {
    const item = Object.assign(parts, { version: (parts.version ?? 0) + 1 });
    this.#keys.add(item.key);
    this.items.push(item);
    return item;
  }

  /**
   * What a message of this tab was shown under before it was recorded.
   *
   * @param {number} seq
   * @param {{command?: string}} event
   */
  #userKey(seq, event) {
    const key = `c:${event.command}`;
    return event.command && !this.#keys.has(key) ? key : `r:${seq}`;
  }

  /**
   * A frame takes time to arrive, so the smallest difference seen is the best.
   *
   * @param {number} at
   */
  #skewWith(at) {
    const seen = Date.now() / 1000 - at;
    return this.#timed ? Math.min(this.skew, seen) : ((this.#timed = true), seen);
  }
  #timed = false;
}
