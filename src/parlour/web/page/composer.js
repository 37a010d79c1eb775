/** Where the user writes: a growing field, files, and one button that sends or stops. */

import { icon, size, touch } from "./dom.js";
import { Tray } from "./uploads.js";

/**
 * @typedef {import("./conversation.js").FileRef} FileRef
 * @typedef {object} Duties
 * @property {(text: string, files: FileRef[]) => void} send
 * @property {() => void} stop
 * @property {() => import("./uploads.js").Server} server
 * @property {() => import("./shelf.js").Shelf | null} shelf where drafts are kept
 */

/** What the field invites to, by the kind of the open question. @type {Record<string, string>} */
const CALLS = { "": "Write a message", form: "Please answer above", file: "Please answer above" };

export class Composer {
  tray;
  element;

  #duties;
  #field;
  #button;
  #hint;
  /** Whether it is to be sent as soon as there is a session. */
  #eager = false;
  #state = { working: false, asked: "", able: false };

  /** @param {HTMLElement} form @param {Duties} duties */
  constructor(form, duties) {
    this.element = form;
    this.#duties = duties;
    this.#field = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
    this.#button = /** @type {HTMLButtonElement} */ (form.querySelector(".send"));
    this.#hint = /** @type {HTMLElement} */ (form.querySelector(".hint"));
    this.tray = new Tray({
      server: duties.server,
      most: () => duties.server().filesPerMessage ?? Infinity,
      changed: () => this.#edited(),
    });
    form.prepend(this.tray.element);
    this.#field.addEventListener("input", () => this.#edited());
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#press();
    });
    const picker = /** @type {HTMLInputElement} */ (form.querySelector("input[type=file]"));
    const attach = /** @type {HTMLElement} */ (form.querySelector(".attach"));
    attach.addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.tray.add(picker.files ?? []);
      picker.value = "";
      this.focus();
    });
  }

  get empty() {
    return !this.#field.value.trim() && !this.tray.uploads.length;
  }

  get text() {
    return this.#field.value;
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  get focused() {
    return document.activeElement === this.#field;
  }

  /**
   * Puts words and files back that were not taken.
   *
   * @param {string} text
   * @param {FileRef[]} [files]
   */
  giveBack(text, files = []) {
    this.#field.value = text;
    this.tray.restore(files);
    this.#edited();
  }

  /** Takes up what was being written when the page was left. */
  restore() {
    const draft = this.#duties.shelf()?.read("draft");
    if (!draft || !this.empty) return;
    this.giveBack(draft.text, draft.files);
  }

  /** @param {{working: boolean, asked: string, able: boolean, closed: boolean}} state */
  show({ closed, ...state }) {
    this.element.hidden = closed;
    this.#state = state;
    this.#field.placeholder = CALLS[state.asked] ?? "Type your answer";
    this.#paint();
    if (this.#eager && state.able) this.#send();
  }

  #edited() {
    this.#eager = false;
    this.#grow();
    this.#say("");
    const { files } = this.tray;
    const draft = this.empty && !files.length ? null : { text: this.#field.value, files };
    this.#duties.shelf()?.write("draft", draft);
    this.#paint();
  }

  #grow() {
    // measured at its natural height; the style sheet sets the most
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }

  #paint() {
    const { working, asked, able } = this.#state;
    const stops = working && !asked && this.empty;
    if (this.#button.dataset.does !== (stops ? "stop" : "send")) {
      this.#button.dataset.does = stops ? "stop" : "send";
      this.#button.setAttribute("aria-label", stops ? "Stop" : "Send");
      this.#button.title = stops ? "Stop (Esc)" : "Send";
      this.#button.replaceChildren(icon(stops ? "stop" : "send"));
    }
    this.#button.disabled = !stops && (!able || this.empty || this.tray.busy);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || touch.matches) return;
    if (event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (event.repeat || this.empty) return;
    this.#send();
  }

  #press() {
    if (this.#button.dataset.does === "stop") this.#duties.stop();
    else this.#send();
  }

  #send() {
    const text = this.#field.value;
    const { files, busy, uploads } = this.tray;
    const { messageBytes = Infinity } = this.#duties.server();
    const bytes = text.length * 4 > messageBytes ? new TextEncoder().encode(text).length : 0;
    this.#eager = !this.#state.able;
    if (this.#eager) return;
    if (bytes > messageBytes) {
      this.#say(`That is ${size(bytes)}; a message may have ${size(messageBytes)}.`);
    } else if (busy) {
      this.#say("A file is still on its way up.");
    } else if (uploads.some(({ problem }) => problem)) {
      this.#say("Remove the file that could not be sent, or try it again.");
    } else if (text.trim() || files.length) {
      this.#duties.send(text, files);
      this.#field.value = "";
      this.tray.clear();
      this.#edited();
      this.focus();
    }
  }

  /** @param {string} words */
  #say(words) {
    this.#hint.textContent = words;
  }
}
