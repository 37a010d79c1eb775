/**
 * The controls of an open question, one maker for each kind. A maker gives its elements and reads
 * them; sending, waiting and what was wrong with the last answer are the same for all.
 */

import { freshId, h, icon, touch } from "./dom.js";
import { Unreadable, formFields, numberInput, textarea } from "./form.js";
import { Tray } from "./uploads.js";

const HOUR = 3600;
const ACCIDENT = 400;

/**
 * @typedef {import("./conversation.js").Item} Item
 * @typedef {import("./conversation.js").FileRef} FileRef
 * @typedef {{value?: any, text?: string, files?: FileRef[]}} Answer
 * @typedef {(answer: Answer, shown: string) => void} Send
 *
 * @typedef {object} Context What controls need of their surroundings.
 * @property {(question: number, answer: Answer, shown: string) => void} answer
 * @property {() => void} dismiss
 * @property {() => import("./uploads.js").Server} server
 *
 * @typedef {object} Controls
 * @property {HTMLElement[]} parts
 * @property {() => {answer: Answer, shown: string} | null} [read] null: not yet fit to be sent
 * @property {Tray} [tray]
 */

export class QuestionControls {
  element;
  /** @type {Tray | undefined} */
  tray;

  #question;
  #problem = h("p", { class: "problem", role: "alert", id: freshId() });
  #clock = h("span", { class: "clock", role: "timer" });
  #fieldset;
  #focusedAt = 0;

  /**
   * @param {Item} item
   * @param {string} labelledBy the id of the question's text
   * @param {Context} context
   */
  constructor(item, labelledBy, context) {
    this.#question = item.seq ?? 0;
    /** @type {Send} */
    const send = (answer, shown) => {
      this.complain("");
      context.answer(this.#question, answer, shown);
    };
    const make = MAKERS[item.question?.kind];
    const controls = make?.(item.question, { send, context, labelledBy }) ?? { parts: [] };
    this.tray = controls.tray;
    const way = { type: "button", class: "quiet", title: "End this without an answer" };
    const dismiss = h("button", { ...way, onclick: context.dismiss }, "Dismiss");
    this.#fieldset = /** @type {HTMLFieldSetElement} */ (h("fieldset", { class: "bare" },
      ...controls.parts, this.#problem,
      h("div", { class: "foot" }, this.#clock, dismiss)));
    this.element = h("form", {
      class: "question", "aria-labelledby": labelledBy, onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        this.#submit(controls, send);
      },
    }, this.#fieldset);
    // an Enter that is held down, or a word that is being typed, is no answer to what just appeared
    this.element.addEventListener("keydown", (event) => {
      const early = Date.now() - this.#focusedAt < ACCIDENT;
      const presses = event.target instanceof HTMLButtonElement && /^(Enter| )$/.test(event.key);
      if (presses && (event.repeat || early)) event.preventDefault();
    });
  }

  /** Moves the keyboard's focus to the first control. */
  focus() {
    this.#focusedAt = Date.now();
    const first = this.element.querySelector("input, textarea, select, button:not([disabled])");
    /** @type {HTMLElement | null} */ (first)?.focus({ preventScroll: true });
  }

  /** Whether an answer is under way. @param {boolean} busy */
  wait(busy) {
    if (this.#fieldset.disabled === busy) return;
    this.#fieldset.disabled = busy;
    this.element.setAttribute("aria-busy", String(busy));
  }

  /** @param {string} problem */
  complain(problem) {
    this.#problem.textContent = problem;
    const control = this.element.querySelector("input, textarea, select");
    if (problem) control?.setAttribute("aria-describedby", this.#problem.id);
  }

  /** Shows how much time is left. @param {number} seconds */
  tick(seconds) {
    this.#clock.textContent = seconds > 0 ? `${duration(seconds)} left to answer` : "Time is up";
  }

  /** @param {Controls} controls @param {Send} send */
  #submit(controls, send) {
    try {
      const read = controls.read?.();
      if (read) send(read.answer, read.shown);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.complain(error.message);
      error.control.focus();
    }
  }
}

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.ceil(seconds);
  if (whole >= 48 * HOUR) return `${Math.floor(whole / (24 * HOUR))} days`;
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const minutes = Math.floor((whole % HOUR) / 60);
  const rest = `${whole < HOUR ? minutes : two(minutes)}:${two(whole % 60)}`;
  return whole < HOUR ? rest : `${Math.floor(whole / HOUR)}:${rest}`;
}

/** @param {string} words */
const submit = (words) => h("button", { type: "submit", class: "primary" }, words);

/**
 * @typedef {{value: string, label: string, description?: string}} Option
 * @typedef {{send: Send, context: Context, labelledBy: string}} Around
 * @typedef {(question: any, around: Around) => Controls} Maker
 */

/** @type {Maker} */
function text({ min_length: least = 1, max_length: most, multiline, default: start }, around) {
  const control = multiline
    ? textarea("", least > 0)
    : /** @type {HTMLInputElement} */ (h("input", { type: "text", required: least > 0 }));
  control.autocomplete = "off";
  if (most) control.maxLength = most;
  control.addEventListener("keydown", (event) => {
    const { key, isComposing, keyCode } = /** @type {KeyboardEvent} */ (event);
    if (key === "Enter" && (isComposing || keyCode === 229)) event.preventDefault();
  });
  return single(control, start, around.labelledBy);
}

/** @type {Maker} */
function number(question, { labelledBy }) {
  const { minimum, maximum, default: start } = question;
  const control = numberInput({ ...question, required: true });
  const range = hint(minimum, maximum, ["At least", "At most"]);
  return single(control, start, labelledBy, range, () => control.valueAsNumber);
}

/** @type {Maker} */
function date({ minimum, maximum, default: start }, { labelledBy }) {
  const bounds = { min: minimum, max: maximum, required: true };
  const control = /** @type {HTMLInputElement} */ (h("input", { type: "date", ...bounds }));
  const shown = (/** @type {string | undefined} */ day) =>
    day && new Date(`${day}T00:00`).toLocaleDateString(undefined, { dateStyle: "medium" });
  const range = hint(shown(minimum), shown(maximum), ["Not before", "Not after"]);
  return single(control, start, labelledBy, range);
}

/**
 * One control with its button.
 *
 * @param {HTMLInputElement | HTMLTextAreaElement} control
 * @param {any} start
 * @param {string} labelledBy
 * @param {HTMLElement} [help]
 * @param {() => any} [value]
 * @returns {Controls}
 */
function single(control, start, labelledBy, help, value = () => control.value) {
  control.setAttribute("aria-labelledby", labelledBy);
  control.value = start ?? "";
  const read = () => ({ answer: { value: value() }, shown: control.value });
  return { parts: [row(control, submit("Answer")), ...(help ? [help] : [])], read };
}

/** @param {...HTMLElement} parts */
const row = (...parts) => h("div", { class: "row" }, ...parts);

/** @param {any} low @param {any} high @param {[string, string]} words */
function hint(low, high, [least, most]) {
  const text = low !== undefined && high !== undefined ? `From ${low} to ${high}.`
    : low !== undefined ? `${least} ${low}.` : high !== undefined ? `${most} ${high}.` : "";
  return h("p", { class: "help", hidden: !text }, text);
}

/** @type {Maker} */
function confirm({ yes = "Yes", no = "No" }, { send }) {
  const button = (/** @type {boolean} */ value, /** @type {string} */ label) => h("button", {
    type: "button", class: value ? "primary" : "secondary", onclick: () => send({ value }, label),
  }, label);
  return { parts: [row(button(true, yes), button(false, no))] };
}

/** @param {Option} option */
const words = ({ label, description }) => h("span", { class: "option-words" },
  h("span", {}, label), description && h("span", { class: "help" }, description));

/** @type {Maker} */
function choice(question, around) {
  const group = h("div", { class: "options", role: "group", "aria-labelledby": around.labelledBy });
  return question.many ? several(question, group) : one(question, group, around.send);
}

/** @param {any} question @param {HTMLElement} group @param {Send} send @returns {Controls} */
function one({ options, default: start }, group, send) {
  for (const option of /** @type {Option[]} */ (options)) {
    const { value, label } = option;
    group.append(h("button", {
      type: "button", class: value === start ? "option preset" : "option",
      onclick: () => send({ value }, label),
    }, words(option)));
  }
  return { parts: [group] };
}

/** @param {any} question @param {HTMLElement} group @returns {Controls} */
function several({ options, minimum = 0, maximum, default: start = [] }, group) {
  const boxes = /** @type {Option[]} */ (options).map((option) => {
    const checked = start?.includes(option.value);
    const box = /** @type {HTMLInputElement} */ (
      h("input", { type: "checkbox", id: freshId(), checked }));
    group.append(h("label", { class: "option", for: box.id }, box, words(option)));
    return { option, box };
  });
  const picked = () => boxes.filter(({ box }) => box.checked).map(({ option }) => option);
  const done = /** @type {HTMLButtonElement} */ (submit("Answer"));
  const check = () => {
    const { length } = picked();
    done.disabled = length < minimum || length > (maximum ?? Infinity);
  };
  group.addEventListener("change", check);
  check();
  const read = () => ({
    answer: { value: picked().map(({ value }) => value) },
    shown: picked().map(({ label }) => label).join(", "),
  });
  const range = minimum && minimum === maximum ? `Choose ${minimum}.`
    : minimum && maximum ? `Choose ${minimum} to ${maximum}.`
    : minimum ? `Choose at least ${minimum}.` : maximum ? `Choose at most ${maximum}.` : "";
  return { parts: [group, h("p", { class: "help", hidden: !range }, range), row(done)], read };
}

/** @type {Maker} */
function file({ accept = [], minimum = 1, maximum = 1, max_bytes: maxBytes }, around) {
  const { context, labelledBy } = around;
  const done = /** @type {HTMLButtonElement} */ (submit("Send"));
  const picker = /** @type {HTMLInputElement} */ (h("input", {
    type: "file", class: "unseen", accept: accept.join(",") || null, multiple: maximum > 1,
    id: freshId(), "aria-labelledby": labelledBy,
  }));
  const most = Math.min(maximum, context.server().filesPerMessage ?? Infinity);
  const check = () => {
    const { length } = tray.files;
    done.disabled = tray.busy || length < minimum || length > most;
    done.hidden = !tray.uploads.length;
  };
  const tray = new Tray({
    server: context.server, accept, maxBytes, most: () => most, changed: check,
  });
  check();
  picker.addEventListener("change", () => {
    tray.add(picker.files ?? []);
    picker.value = "";
  });
  const choose = maximum > 1 ? "Choose files" : "Choose a file";
  const call = touch.matches ? choose : `${choose} or drop ${maximum > 1 ? "them" : "it"} here`;
  const label = h("label", { class: "drop", for: picker.id }, icon("upload"),
    h("span", {}, call), accept.length && h("span", { class: "help" }, kinds(accept)));
  const read = () => ({ answer: { files: tray.files }, shown: "" });
  return { parts: [picker, label, tray.element, row(done)], read, tray };
}

const KINDS = /** @type {Record<string, string>} */ ({
  "image/*": "Pictures", "audio/*": "Sound", "video/*": "Video", "text/*": "Text",
});

/** @param {string[]} accept */
const kinds = (accept) => accept.map((rule) => KINDS[rule] ?? rule).join(", ");

/** @type {Maker} */
function form({ schema = {}, default: start }) {
  const fields = formFields(schema, start);
  const read = () => {
    const value = fields.read();
    const shown = typeof value !== "object" || value === null ? String(value)
      : Object.entries(value).map(([name, part]) =>
        `${name}: ${typeof part === "string" ? part : JSON.stringify(part)}`).join(", ");
    return { answer: { value }, shown };
  };
  return { parts: [fields.element, row(submit("Send"))], read };
}

/** @type {Record<string, Maker>} */
const MAKERS = { text, number, date, confirm, choice, file, form };
