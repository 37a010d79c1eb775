/** Files on their way up: a row of chips with name, size, progress and a way out. */

import { h, icon, size } from "./dom.js";

/**
 * @typedef {import("./conversation.js").FileRef} FileRef
 * @typedef {object} Server What is known of it now.
 * @property {string} session
 * @property {string} token
 * @property {number} [uploadBytes]
 * @property {number} [messageBytes]
 * @property {number} [filesPerMessage]
 *
 * @typedef {object} Upload
 * @property {File | null} file null: it came from a draft and is up already
 * @property {string} name
 * @property {number} size
 * @property {FileRef | null} ref what the server calls it, once it is there
 * @property {string} problem
 * @property {XMLHttpRequest | null} request
 * @property {HTMLElement} chip
 *
 * @typedef {object} TrayOptions
 * @property {() => Server} server
 * @property {() => void} changed
 * @property {() => number} most how many files may be in the tray
 * @property {string[]} [accept]
 * @property {number} [maxBytes]
 */

export class Tray {
  element = h("ul", { class: "chips", "aria-label": "Attached files", hidden: true });
  /** @type {Upload[]} */
  uploads = [];

  #options;

  /** @param {TrayOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** The files that are up. */
  get files() {
    return this.uploads.flatMap(({ ref }) => ref ?? []);
  }

  /** Whether something is still on its way. */
  get busy() {
    return this.uploads.some(({ ref, problem }) => !ref && !problem);
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      const upload = this.#put(file, file.name || "pasted", file.size);
      upload.problem = this.#complaint(upload);
      if (upload.problem) this.#show(upload);
      else this.#start(upload);
    }
    this.#changed();
  }

  /** Takes files up again that are on the server already. @param {FileRef[]} refs */
  restore(refs) {
    for (const ref of refs) {
      const upload = this.#put(null, ref.name, ref.size ?? 0);
      upload.ref = ref;
      this.#show(upload);
    }
    this.#changed();
  }

  clear() {
    for (const upload of [...this.uploads]) this.#remove(upload);
  }

  /** @param {File | null} file @param {string} name @param {number} bytes @returns {Upload} */
  #put(file, name, bytes) {
    const chip = h("li", { class: "chip" });
    /** @type {Upload} */
    const upload = { file, name, size: bytes, ref: null, problem: "", request: null, chip };
    this.uploads.push(upload);
    this.element.append(chip);
    return upload;
  }

  /** @param {Upload} upload */
  #complaint({ file, name, size: bytes }) {
    const { most, accept = [], maxBytes = Infinity, server } = this.#options;
    const limit = Math.min(maxBytes, server().uploadBytes ?? Infinity);
    const good = this.uploads.filter(({ problem }) => !problem).length;
    if (good > most()) return most() === 1 ? "Only one file fits." : `Only ${most()} files fit.`;
    if (bytes > limit) return `Larger than ${size(limit)}, the most that is taken.`;
    if (file && accept.length && !accept.some((rule) => accepts(rule, name, file.type))) {
      return `Not of the kind that is asked for: ${accept.join(", ")}.`;
    }
    return "";
  }

  /** @param {Upload} upload */
  #start(upload) {
    const { session, token } = this.#options.server();
    const { file } = upload;
    if (!file) return;
    const request = new XMLHttpRequest();
    upload.request = request;
    upload.problem = "";
    request.open("POST", `files?${new URLSearchParams({ session, name: upload.name })}`);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => this.#advance(upload, loaded / (total || 1));
    request.onload = () => this.#finish(upload, request);
    request.onerror = () => this.#fail(upload, "The connection was lost.");
    request.send(file);
    this.#show(upload);
  }

  /** @param {Upload} upload @param {XMLHttpRequest} request */
  #finish(upload, request) {
    let body;
    try {
      body = JSON.parse(request.responseText);
    } catch {
      body = null;
    }
    if (request.status === 201 && body) {
      upload.ref = body;
      upload.request = null;
      this.#show(upload);
      this.#changed();
    } else {
      this.#fail(upload, body?.message ?? `The server answered ${request.status}.`);
    }
  }

  /** @param {Upload} upload @param {string} problem */
  #fail(upload, problem) {
    upload.request = null;
    upload.problem = problem;
    this.#show(upload);
    this.#changed();
  }

  /** @param {Upload} upload @param {number} share */
  #advance({ chip }, share) {
    const bar = chip.querySelector("progress");
    if (bar) bar.value = share;
  }

  /** @param {Upload} upload */
  #remove(upload) {
    upload.request?.abort();
    this.uploads = this.uploads.filter((other) => other !== upload);
    upload.chip.remove();
    this.#changed();
  }

  /** @param {Upload} upload */
  #show(upload) {
    const { chip, name, problem, ref } = upload;
    chip.classList.toggle("failed", !!problem);
    const remove = () => {
      const next = chip.nextElementSibling ?? chip.previousElementSibling;
      const neighbour = /** @type {HTMLElement | null} */ (next?.querySelector("button") ?? null);
      this.#remove(upload);
      neighbour?.focus();
    };
    const start = () => this.#start(upload);
    const again = h("button", { type: "button", class: "link", onclick: start }, "Try again");
    const word = ref || problem ? "Remove" : "Cancel";
    chip.replaceChildren(...[
      icon("file"),
      chipWords(name, problem || size(upload.size)),
      !ref && !problem && h("progress", { max: 1, value: 0, "aria-label": `Uploading ${name}` }),
      problem && upload.file && !this.#complaint(upload) && again,
      h("button", { type: "button", class: "icon-button", "aria-label": `${word} ${name}`,
        onclick: remove }, icon("close")),
    ].filter((part) => part instanceof Node));
  }

  #changed() {
    this.element.hidden = !this.uploads.length;
    this.#options.changed();
  }
}

/** @param {string} name @param {string} about */
const chipWords = (name, about) => h("span", { class: "chip-words" },
  h("span", { class: "chip-name", title: name }, name),
  h("span", { class: "chip-size" }, about));

/**
 * Whether a file is of the kind `rule` asks for (`image/*`, `.pdf`, `text/csv`).
 *
 * @param {string} rule
 * @param {string} name
 * @param {string} type
 */
function accepts(rule, name, type) {
  const wanted = rule.toLowerCase();
  if (wanted.startsWith(".")) return name.toLowerCase().endsWith(wanted);
  const kind = type.toLowerCase();
  return wanted.endsWith("/*") ? kind.startsWith(wanted.slice(0, -1)) : kind === wanted;
}

const PICTURES = /^image\/(png|jpe?g|gif|webp|avif|bmp|svg\+xml)$/;

/**
 * The files of a message: pictures small, the rest as links.
 *
 * @param {string} session
 * @param {FileRef[]} files
 */
export function fileList(session, files) {
  return h("ul", { class: "files" }, ...files.map((file) => h("li", {}, fileLink(session, file))));
}

/** @param {string} session @param {FileRef} file */
function fileLink(session, { id, name, type = "", size: bytes = 0 }) {
  const href = `files/${encodeURIComponent(session)}/${encodeURIComponent(id)}`;
  const words = chipWords(name, bytes ? size(bytes) : "");
  const link = h("a", { class: "chip", href, download: name }, icon("file"), words);
  if (!PICTURES.test(type)) return link;
  const picture = h("a", { class: "picture", href, target: "_blank", rel: "noopener" },
    h("img", { src: href, alt: name, onerror: () => picture.replaceWith(link) }));
  return picture;
}
