/**
 * A tab's side of one session: opens or attaches, resumes after every loss, sends commands until
 * they are answered. It tells of changes; what they look like it does not know. No DOM.
 */

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Outbox, freshCommandId } from "./outbox.js";
import { inTab } from "./shelf.js";

const RETRIES = 8;
const RESYNC_PAUSE = 5_000;
const PASSING = new Set(["busy", "overloaded", "unavailable"]);

/**
 * @typedef {import("./conversation.js").FileRef} FileRef
 * @typedef {import("./connection.js").Frame} Frame
 * @typedef {import("./outbox.js").Command} Command
 *
 * @typedef {object} Limits
 * @property {number} [message_bytes]
 * @property {number} [upload_bytes]
 * @property {number} [files_per_message]
 */

export class Client {
  conversation = new Conversation();
  connection;
  /** @type {Outbox} */
  outbox;
  session;
  /** @type {Limits} */
  limits = {};
  /** What this tab has sent: `say`, `answer` or `stop` by id. @type {Map<string, string>} */
  sent = new Map();
  /** Why there is no conversation to be had: its code and its words. */
  trouble = { code: "", message: "" };

  #changed;
  #tab = inTab();
  #attaching = false;
  #resynced = 0;
  #retry = 0;

  /**
   * @param {{url: string, session: string, changed: () => void}} options `session` "": a new one
   */
  constructor({ url, session, changed }) {
    this.session = session;
    this.#changed = changed;
    this.outbox = new Outbox(inTab(session));
    for (const { id, frame } of this.outbox.commands.values()) this.sent.set(id, frame.t);
    this.connection = new Connection(url, {
      onframe: (frame) => this.#take(frame),
      onstate: (state) => this.#turn(state),
    });
    this.connection.token = this.#tab.read("token") ?? "";
  }

  start() {
    this.connection.start();
  }

  /** @param {string} text @param {FileRef[]} files */
  say(text, files) {
    this.#send(this.outbox.add(withFiles({ t: "say", text }, files), { text, files }));
  }

  /**
   * @param {number} question
   * @param {{value?: any, text?: string, files?: FileRef[]}} answer
   * @param {string} shown
   */
  answer(question, { files = [], ...answer }, shown) {
    const frame = withFiles({ t: "answer", question, ...answer }, files);
    this.#send(this.outbox.add(frame, { text: shown, files }));
  }

  /** Ends the running round, and no later one. */
  stop() {
    const { round } = this.conversation;
    if (round) this.#send(this.outbox.add({ t: "stop", round }));
  }

  /** Sends a refused command again: the refusal left no trace of it. @param {string} id */
  retry(id) {
    const command = this.outbox.commands.get(id);
    if (!command) return;
    command.tries = 0;
    this.outbox.mark(id, "sent");
    this.#send(command);
  }

  /** @param {string} id */
  discard(id) {
    this.outbox.drop(id);
    this.#changed();
  }

  /** Whether an answer to `question` is under way. @param {number} question */
  answering(question) {
    return [...this.outbox.commands.values()].some(({ frame }) => frame.question === question);
  }

  /** @param {Command} command */
  #send(command) {
    this.sent.set(command.id, command.frame.t);
    if (this.session) this.connection.send({ ...command.frame, session: this.session });
    this.#changed();
  }

  /** @param {import("./connection.js").ConnectionState} state */
  #turn(state) {
    if (state !== "ready") {
      this.#attaching = false;
      this.conversation.live = false;
    }
    if (state === "ended" && !this.trouble.code) {
      this.trouble = {
        code: "unsupported_version",
        message: "This page and its server do not understand each other. Please reload it.",
      };
    }
    this.#changed();
  }

  /** @param {Frame} frame */
  #take(frame) {
    switch (frame.t) {
      case "hello":
        this.limits = frame.limits ?? {};
        this.#tab.write("token", frame.resume ?? null);
        this.#enter();
        break;
      case "records":
        if (this.#isOurs(frame)) this.#record(frame);
        break;
      case "delta":
        if (this.#isOurs(frame) && !this.conversation.addDelta(/** @type {any} */ (frame))) {
          this.#resync();
        }
        break;
      case "live":
        if (!this.#isOurs(frame)) return;
        this.#attaching = false;
        this.conversation.goLive();
        break;
      case "ack":
        this.#acknowledge(frame);
        break;
      case "refused":
        this.#refuse(frame);
        break;
      default: // a pong, or a frame of a later version
        return;
    }
    this.#changed();
  }

  /** Opens the session or attaches to it, then repeats what has no answer. */
  #enter() {
    clearTimeout(this.#retry);
    if (!this.session) {
      const id = this.#tab.read("open") ?? freshCommandId();
      this.#tab.write("open", id);
      this.connection.send({ t: "open", id });
      return;
    }
    this.#attaching = true;
    const { session } = this;
    const repeated = this.outbox.unanswered.map(({ frame }) => ({ ...frame, session }));
    this.connection.send({ t: "attach", session, after: this.conversation.place }, ...repeated);
  }

  /** @param {any} frame */
  #record(frame) {
    if (!this.conversation.addRecords(frame)) {
      this.#attach();
      return;
    }
    for (const id of this.outbox.commands.keys()) {
      if (this.conversation.recorded.has(id)) this.outbox.drop(id);
    }
  }

  /** Text is missing that is no record. Not too often, or a server could make it a storm. */
  #resync() {
    if (Date.now() - this.#resynced < RESYNC_PAUSE) return;
    this.#resynced = Date.now();
    this.#attach();
  }

  /** Frames that were on their way arrive before the new place: they ask for no second attach. */
  #attach() {
    if (this.#attaching) return;
    this.#attaching = true;
    const { session, conversation } = this;
    conversation.live = false;
    this.connection.send({ t: "attach", session, after: conversation.place });
  }

  /** @param {Frame} frame */
  #isOurs({ session }) {
    if (!this.session) this.#adopt(session);
    return session === this.session;
  }

  /** The id of the new session is known. @param {string} session */
  #adopt(session) {
    this.session = session;
    this.outbox = new Outbox(inTab(session));
    this.#tab.write("open", null);
  }

  /** @param {Frame} frame */
  #acknowledge({ id, session }) {
    if (!this.session) this.#adopt(session);
    const command = this.outbox.commands.get(id);
    if (!command) return;
    const shown = command.frame.t !== "stop" && !this.conversation.recorded.has(id);
    if (shown) this.outbox.mark(id, "acknowledged");
    else this.outbox.drop(id);
  }

  /** @param {Frame} frame */
  #refuse({ id, code, message, retry_after: pause }) {
    const command = id ? this.outbox.commands.get(id) : undefined;
    if (command) {
      this.#refuseCommand(command, code, message, pause);
    } else if (PASSING.has(code) || (code === "too_many" && pause)) {
      this.#retry = setTimeout(() => this.#enter(), 1000 * (pause ?? 1));
    } else if (!this.conversation.live) {
      this.trouble = { code, message };
      this.#tab.write("open", null);
    }
  }

  /**
   * @param {Command} command
   * @param {string} code
   * @param {string} message
   * @param {number | undefined} pause
   */
  #refuseCommand(command, code, message, pause) {
    const { t, question } = command.frame;
    if (PASSING.has(code) && code !== "busy" && command.tries < RETRIES) {
      command.tries += 1;
      setTimeout(() => this.#send(command), 1000 * (pause ?? 1));
    } else if (t === "say") {
      this.outbox.mark(command.id, "refused", message);
    } else {
      this.outbox.drop(command.id);
      if (t === "answer") this.conversation.refuseAnswer(question, message, command.id);
    }
  }
}

/**
 * @param {Frame} frame
 * @param {FileRef[]} files
 */
function withFiles(frame, files) {
  return files.length ? { ...frame, files: files.map(({ id }) => id) } : frame;
}
