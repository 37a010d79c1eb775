/**
 * The transcript. It shows a list of items in order, keeps the element of each by its key (so that
 * a message keeps its place when it turns from written to recorded), and follows the end of the
 * conversation while the reader is there.
 */

import { freshId, h } from "./dom.js";
import { Markdown } from "./markdown.js";
import { QuestionControls } from "./questions.js";
import { fileList } from "./uploads.js";

const NEAR = 24;
/** @type {Record<string, string>} */
const ENDS = { timeout: "Time ran out.", withdrawn: "No longer asked." };

/**
 * @typedef {import("./conversation.js").Item} Item
 * @typedef {{pending?: boolean, offline?: boolean, refused?: string}} Underway
 * @typedef {Item & Underway & {retry?: () => void, takeBack?: () => void}} Shown
 *
 * @typedef {object} Turn An item on the screen.
 * @property {HTMLElement} element
 * @property {(item: Shown) => void} update
 * @property {QuestionControls | null} [controls]
 * @property {Item} [item]
 * @property {string} stamp what was shown last
 */

export class Transcript {
  #list;
  #scroller;
  #jump;
  #session;
  #context;
  /** @type {Map<string, Turn>} */
  #turns = new Map();
  #follows = true;
  #top = 0;
  #height = 0;

  /**
   * @param {{list: HTMLElement, scroller: HTMLElement, jump: HTMLElement}} elements
   * @param {() => string} session
   * @param {import("./questions.js").Context} context
   */
  constructor({ list, scroller, jump }, session, context) {
    this.#list = list;
    this.#scroller = scroller;
    this.#jump = jump;
    this.#session = session;
    this.#context = context;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toEnd(true));
    const watch = new ResizeObserver(() => this.#keepEnd());
    watch.observe(scroller);
    watch.observe(list);
  }

  /** The controls of the open questions, oldest first. */
  get controls() {
    return [...this.#turns.values()].flatMap(({ controls, item }) =>
      (controls && item ? [{ controls, item }] : []));
  }

  /** @param {Shown[]} items */
  show(items) {
    const shown = new Set();
    let next = this.#list.firstChild;
    for (const item of items) {
      shown.add(item.key);
      const turn = this.#turns.get(item.key) ?? this.#make(item);
      const stamp = `${item.version} ${item.pending} ${item.offline} ${item.refused} ${item.waits}`;
      if (turn.stamp !== stamp) {
        turn.stamp = stamp;
        turn.update(item);
      }
      if (turn.element === next) next = next.nextSibling;
      else this.#list.insertBefore(turn.element, next);
    }
    for (const [key, { element }] of this.#turns) {
      if (shown.has(key)) continue;
      element.remove();
      this.#turns.delete(key);
    }
    this.#keepEnd();
  }

  /** @param {boolean} [gently] */
  toEnd(gently = false) {
    this.#follows = true;
    const calm = gently && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const behavior = calm ? "smooth" : "instant";
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior });
  }

  /**
   * Shows a question from its beginning, where it is longer than the screen.
   *
   * @param {QuestionControls} controls
   */
  reveal({ element }) {
    const turn = element.closest(".turn");
    if (!turn || !this.#follows || turn.clientHeight < this.#scroller.clientHeight - NEAR) return;
    this.#follows = false;
    turn.scrollIntoView();
  }

  /** @param {Shown} item */
  #make(item) {
    const turn = item.kind === "user" ? userTurn(this.#session)
      : item.kind === "bot" ? botTurn(this.#session)
      : item.kind === "question" ? questionTurn(this.#context) : noticeTurn();
    this.#turns.set(item.key, turn);
    return turn;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const same = scrollHeight === this.#height;
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#follows = true;
    else if (same && scrollTop < this.#top - 1) this.#follows = false;
    this.#top = scrollTop;
    this.#height = scrollHeight;
    this.#offerJump();
  }

  #keepEnd() {
    if (this.#follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#offerJump();
  }

  #offerJump() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#jump.hidden = this.#follows || scrollHeight - scrollTop - clientHeight < NEAR;
  }
}

/** @param {string} who */
const speaker = (who) => h("span", { class: "unseen" }, `${who}: `);

/** @param {number | undefined} at */
const moment = (at) => (at ? new Date(at * 1000).toLocaleString() : null);

/** @param {HTMLElement} place @param {() => string} session @param {Shown} item */
function showFiles(place, session, { files = [] }) {
  if (!files.length) return;
  const names = files.map(({ id }) => id).join(" ");
  if (place.dataset.files === names) return;
  place.dataset.files = names;
  place.replaceChildren(fileList(session(), files));
}

/** @param {() => string} session @returns {Turn} */
function userTurn(session) {
  const text = h("p", { class: "said", dir: "auto" });
  const files = h("div");
  const state = h("div", { class: "state" });
  const element = h("div", { class: "turn user" }, speaker("You"), text, files, state);
  const update = (/** @type {Shown} */ item) => {
    text.textContent = item.text;
    // the words of an answer that is files are their names, which stand below as links
    const names = item.files?.map(({ name }) => name).join(", ");
    text.hidden = !item.text || item.text === names;
    element.title = moment(item.at) ?? "";
    element.classList.toggle("pending", !!item.pending && !item.refused);
    element.classList.toggle("refused", !!item.refused);
    showFiles(files, session, item);
    showState(state, item);
  };
  return { element, update, stamp: "" };
}

/** @param {HTMLElement} place @param {Shown} item */
function showState(place, item) {
  if (item.refused) {
    place.replaceChildren(h("span", { class: "problem" }, item.refused),
      h("button", { type: "button", class: "link", onclick: item.retry }, "Try again"),
      h("button", { type: "button", class: "link", onclick: item.takeBack }, "Edit"));
  } else {
    const words = item.offline ? "Waiting for the connection" : "Waiting for its turn";
    place.replaceChildren(item.offline || item.waits ? words : "");
  }
}

/** @param {() => string} session @returns {Turn} */
function botTurn(session) {
  const body = h("div", { class: "prose", dir: "auto" });
  const files = h("div");
  const mark = h("p", { class: "state", hidden: true }, "Not finished");
  const element = h("div", { class: "turn bot" }, speaker("Reply"), body, files, mark);
  const markdown = new Markdown(body);
  const update = (/** @type {Shown} */ item) => {
    markdown.update(item.text);
    element.title = moment(item.at) ?? "";
    element.classList.toggle("streaming", !!item.streaming);
    mark.hidden = !item.unfinished;
    showFiles(files, session, item);
  };
  return { element, update, stamp: "" };
}

/** @param {import("./questions.js").Context} context @returns {Turn} */
function questionTurn(context) {
  const body = h("div", { class: "prose", dir: "auto", id: freshId() });
  const note = h("p", { class: "note" });
  const place = h("div");
  const state = h("p", { class: "state" });
  const parts = [speaker("Question"), body, note, place, state];
  const element = h("div", { class: "turn bot asks" }, ...parts);
  const markdown = new Markdown(body);
  /** @type {Turn} */
  const turn = { element, update, stamp: "", controls: null };
  let rejection = "";
  /** @param {Shown} item */
  function update(item) {
    turn.item = item;
    markdown.update(item.text);
    element.title = moment(item.at) ?? "";
    note.textContent = item.note ?? "";
    note.hidden = !item.note;
    state.textContent = ENDS[item.ended ?? ""] ?? "";
    state.hidden = !state.textContent;
    if (item.open && !turn.controls) {
      turn.controls = new QuestionControls(item, body.id, context);
      place.replaceChildren(turn.controls.element);
    } else if (!item.open && turn.controls) {
      turn.controls = null;
      place.replaceChildren();
    }
    if (item.rejection && item.rejection.command !== rejection) {
      rejection = item.rejection.command;
      turn.controls?.complain(item.rejection.reason);
    }
  }
  return turn;
}

/** @returns {Turn} */
function noticeTurn() {
  const element = h("div", { class: "turn notice" });
  const update = (/** @type {Shown} */ item) => {
    element.classList.toggle("error", item.tone === "error");
    element.replaceChildren(h("p", {}, item.text,
      item.error && h("span", { class: "code-id" }, ` Error ${item.error}`)));
  };
  return { element, update, stamp: "" };
}
