/**
 * A WebSocket that comes back. It greets, beats, notices silence, waits and tries again
 * (docs/wire.md); what the frames mean it does not know. No DOM.
 */

const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;
const BEAT = 15_000;
const SILENCE = 10_000;
const SILENCE_ON_WAKING = 4_000;
const STEADY = 5_000;
const LONGEST_MESSAGE = 100_000;
const BAD_GREETING = 4000;

/**
 * @typedef {"connecting" | "ready" | "waiting" | "ended"} ConnectionState
 * @typedef {{t: string, [field: string]: any}} Frame
 */

export class Connection {
  /** @type {ConnectionState} */
  state = "waiting";
  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  due = 0;
  /** What stands for this user where the browser keeps no cookie. */
  token = "";

  #url;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  #failures = 0;
  #readySince = 0;
  #heard = 0;
  #timers = { retry: 0, beat: 0, silence: 0 };

  /**
   * @param {string} url
   * @param {{onframe: (frame: Frame) => void, onstate: (state: ConnectionState) => void}} listener
   */
  constructor(url, listener) {
    this.#url = url;
    this.#listener = listener;
  }

  /** Connects now, unless that is under way. */
  start() {
    if (this.#socket || this.state === "ended") return;
    clearTimeout(this.#timers.retry);
    this.#turn("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      const hello = { t: "hello", versions: [1] };
      socket.send(JSON.stringify(this.token ? { ...hello, resume: this.token } : hello));
    };
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => this.#lose(socket, event.code);
    this.#expect(SILENCE);
  }

  /** The world may have changed (network back, tab in front): try at once, or see if it lives. */
  wake() {
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
   *
   * @param {...Frame} frames
   */
  send(...frames) {
    if (this.state !== "ready" || !this.#socket) return;
    let message = "";
    for (const line of frames.map((frame) => JSON.stringify(frame))) {
      if (message && message.length + line.length > LONGEST_MESSAGE) {
        this.#socket.send(message);
        message = "";
      }
      message += message ? `\n${line}` : line;
    }
    if (message) this.#socket.send(message);
  }

  /** @param {ConnectionState} state */
  #turn(state) {
    this.state = state;
    this.#listener.onstate(state);
  }

  /** @param {unknown} data */
  #hear(data) {
    this.#heard = Date.now();
    clearTimeout(this.#timers.silence);
    if (typeof data !== "string") return;
    for (const line of data.split("\n")) {
      if (!line) continue;
      const frame = JSON.parse(line);
      if (frame.t === "hello") this.#greeted(frame);
      this.#listener.onframe(frame);
    }
  }

  /** @param {Frame} frame */
  #greeted(frame) {
    this.token = frame.resume ?? "";
    this.#readySince = Date.now();
    clearInterval(this.#timers.beat);
    this.#timers.beat = setInterval(() => this.#beat(SILENCE), BEAT);
    this.#turn("ready");
  }

  /** @param {number} patience */
  #beat(patience) {
    this.send({ t: "ping" });
    this.#expect(patience);
  }

  /**
   * Gives the socket up if nothing is heard within `patience`. Timers of a hidden tab run late, so
   * the time of the last frame decides, not the timer.
   *
   * @param {number} patience
   */
  #expect(patience) {
    const socket = this.#socket;
    const since = Date.now();
    clearTimeout(this.#timers.silence);
    this.#timers.silence = setTimeout(() => {
      if (socket && socket === this.#socket && this.#heard < since) {
        this.#lose(socket, 0);
        socket.close();
      }
    }, patience);
  }

  /** @param {WebSocket} socket @param {number} code */
  #lose(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.onmessage = null;
    clearInterval(this.#timers.beat);
    clearTimeout(this.#timers.silence);
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
    this.#timers.retry = setTimeout(() => this.start(), delay);
    this.#turn("waiting");
  }
}
