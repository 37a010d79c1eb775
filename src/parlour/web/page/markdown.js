/**
 * The Markdown that bots write, as elements. Every piece of text becomes a text node and every
 * link is checked, so there is no markup a message could smuggle in. Text that is still growing
 * is parsed again from its last two blocks only, and blocks that did not change keep their nodes.
 */

import { h, icon } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const BULLET = /^( {0,3})(?:([-*+])|(\d{1,9})[.)])(?:[ \t]+(?=\S)|[ \t]*$)/;
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const ADDRESS = /^(?:https?:\/\/|mailto:)[^\s<>]+/i;
const WORD = /[\p{L}\p{N}]/u;
const TARGET = /^\s*(?:<([^<>]*)>|((?:[^\s()]|\([^\s()]*\))*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const DEEPEST = 8;
const LONGEST_LINK = 1000;

/** @typedef {{start: number, raw: string, build: () => Node}} Block */

/** Shows a Markdown text in an element, and follows it as it grows. */
export class Markdown {
  #element;
  #text = "";
  /** @type {(Block & {node: Node})[]} */
  #blocks = [];

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  update(text) {
    text = text.replace(/\r\n?/g, "\n");
    if (text === this.#text) return;
    const grown = this.#blocks.length > 2 && text.startsWith(this.#text);
    const kept = grown ? this.#blocks.length - 2 : 0;
    const from = grown ? this.#blocks[kept].start : 0;
    const parsed = parse(text.slice(from));
    parsed.forEach((block, index) =>
      this.#place(kept + index, { ...block, start: block.start + from }));
    for (const { node } of this.#blocks.splice(kept + parsed.length)) {
      /** @type {ChildNode} */ (node).remove();
    }
    this.#text = text;
  }

  /** @param {number} index @param {Block} block */
  #place(index, block) {
    const old = this.#blocks[index];
    if (old?.raw === block.raw) {
      old.start = block.start;
      return;
    }
    const node = block.build();
    if (old) this.#element.replaceChild(node, old.node);
    else this.#element.append(node);
    this.#blocks[index] = { ...block, node };
  }
}

/**
 * The blocks of a text, each with its source and how to build its element.
 *
 * @param {string} text
 * @param {number} [depth]
 * @returns {Block[]}
 */
export function parse(text, depth = 0) {
  const lines = text.split("\n");
  /** @type {Block[]} */
  const blocks = [];
  let offset = 0;
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      offset += lines[at].length + 1;
      at += 1;
      continue;
    }
    const { length, build } = readBlock(lines, at, depth);
    const raw = lines.slice(at, at + length).join("\n");
    blocks.push({ start: offset, raw, build });
    offset += raw.length + 1;
    at += length;
  }
  return blocks;
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 * @returns {{length: number, build: () => Node}} how many lines it takes, and its element
 */
function readBlock(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return readCode(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) {
    const level = Math.min(6, heading[1].length + 1); // the first one is the page's
    return { length: 1, build: () => h(`h${level}`, {}, inline(heading[2])) };
  }
  if (RULE.test(line)) return { length: 1, build: () => h("hr") };
  if (depth < DEEPEST && QUOTE.test(line)) return readQuote(lines, at, depth);
  if (depth < DEEPEST && BULLET.test(line)) return readList(lines, at, depth);
  return (beginsTable(lines, at) && readTable(lines, at)) || readParagraph(lines, at);
}

/** @param {string[]} lines @param {number} at */
function beginsTable(lines, at) {
  return lines[at].includes("|") && DIVIDER.test(lines[at + 1] ?? "");
}

/** @param {string} line */
function interrupts(line) {
  return !line.trim() || FENCE.test(line) || HEADING.test(line) || RULE.test(line)
    || QUOTE.test(line) || /^ {0,3}(?:[-*+]|1[.)])[ \t]+\S/.test(line);
}

/** @param {string[]} lines @param {number} at */
function readParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !interrupts(lines[end]) && !beginsTable(lines, end)) end += 1;
  const text = lines.slice(at, end).map((line) => line.trim()).join("\n");
  return { length: end - at, build: () => h("p", {}, inline(text)) };
}

/** @param {string[]} lines @param {number} at @param {RegExpExecArray} fence */
function readCode(lines, at, [, marks, info]) {
  const close = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}[ \\t]*$`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) end += 1;
  const code = lines.slice(at + 1, end).join("\n");
  const language = info.trim().split(/\s/)[0] ?? "";
  return { length: Math.min(end + 1, lines.length) - at, build: () => codeBlock(code, language) };
}

/** @param {string} code @param {string} language */
function codeBlock(code, language) {
  const label = h("span", {}, icon("copy"), h("span", {}, "Copy"));
  const words = /** @type {HTMLElement} */ (label.lastChild);
  const copy = h("button", { type: "button", class: "copy", "aria-label": "Copy code" }, label);
  copy.addEventListener("click", async () => {
    words.textContent = (await copyText(code)) ? "Copied" : "Not copied";
    setTimeout(() => (words.textContent = "Copy"), 2000);
  });
  const name = language ? `Code, ${language}` : "Code";
  return h("div", { class: "code" },
    h("div", { class: "code-head" }, h("span", {}, language || "code"), copy),
    h("pre", { tabindex: 0, role: "group", "aria-label": name }, h("code", {}, code)));
}

/**
 * The clipboard is closed to pages that are not served over HTTPS; the old way still works there.
 *
 * @param {string} text
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", readonly: true });
    /** @type {HTMLTextAreaElement} */ (area).value = text;
    const focused = document.activeElement;
    document.body.append(area);
    /** @type {HTMLTextAreaElement} */ (area).select();
    const done = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}

/** @param {string[]} lines @param {number} at @param {number} depth */
function readQuote(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const text = lines.slice(at, end).map((line) => line.replace(QUOTE, "")).join("\n");
  return { length: end - at, build: () => h("blockquote", {}, fragment(text, depth + 1)) };
}

/** @param {string} text @param {number} depth */
function fragment(text, depth) {
  const all = document.createDocumentFragment();
  for (const block of parse(text, depth)) all.append(block.build());
  return all;
}

/**
 * A list goes on while its lines are items of the same sort or belong to the last item: indented
 * under it, or right below its text.
 *
 * @param {string[]} lines
 * @param {number} at
 * @param {number} depth
 */
function readList(lines, at, depth) {
  const first = /** @type {RegExpExecArray} */ (BULLET.exec(lines[at]));
  const ordered = first[3] !== undefined;
  /** @type {string[][]} */
  const items = [];
  let margin = 0;
  let indent = 0;
  let loose = false;
  let end = at;
  for (let next = at; next < lines.length; next += 1) {
    const line = lines[next];
    const bullet = BULLET.exec(line);
    const blankBefore = next > at && !lines[next - 1].trim();
    if (!line.trim()) {
      items.at(-1)?.push("");
      continue;
    }
    // people indent what is nested by two, also where the number above it is wider
    const nested = leading(line) >= indent || (bullet && leading(line) >= margin + 2);
    if (items.length && nested) {
      items.at(-1)?.push(line.slice(Math.min(indent, leading(line))));
    } else if (bullet && (bullet[3] !== undefined) === ordered && !RULE.test(line)) {
      margin = bullet[1].length;
      indent = bullet[0].length + (/\s$/.test(bullet[0]) ? 0 : 1);
      items.push([line.slice(bullet[0].length)]);
    } else if (!blankBefore && !interrupts(line)) {
      items.at(-1)?.push(line.trim());
    } else {
      break;
    }
    loose ||= blankBefore;
    end = next + 1;
  }
  const sources = items.map((item) => item.join("\n").trimEnd());
  return { length: end - at, build: () => list(sources, ordered ? first[3] : null, loose, depth) };
}

/** @param {string} line */
function leading(line) {
  return line.length - line.trimStart().length;
}

/**
 * @param {string[]} sources
 * @param {string | null} start
 * @param {boolean} loose
 * @param {number} depth
 */
function list(sources, start, loose, depth) {
  const element = h(start === null ? "ul" : "ol", { start: start && start !== "1" ? start : null });
  for (const source of sources) {
    const item = h("li");
    const text = source.replace(/^\[[xX]\](?=\s)/, "☑").replace(/^\[ \](?=\s)/, "☐");
    for (const block of parse(text, depth + 1)) {
      const node = block.build();
      if (!loose && node instanceof HTMLParagraphElement) item.append(...node.childNodes);
      else item.append(node);
    }
    element.append(item);
  }
  return element;
}

/** @param {string[]} lines @param {number} at */
function readTable(lines, at) {
  const head = cells(lines[at]);
  const sides = cells(lines[at + 1]).map((cell) => {
    if (/^:-+:$/.test(cell)) return "centre";
    return cell.endsWith(":") ? "end" : null;
  });
  if (sides.length !== head.length) return null;
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end += 1;
  const rows = lines.slice(at + 2, end).map(cells);
  const row = (/** @type {string} */ tag, /** @type {string[]} */ texts) =>
    h("tr", {}, ...sides.map((side, i) => {
      const scope = tag === "th" ? "col" : null;
      return h(tag, { class: side, scope }, inline(texts[i] ?? ""));
    }));
  const build = () => {
    const name = { class: "table", tabindex: 0, role: "group", "aria-label": "Table" };
    return h("div", name, h("table", {},
      h("thead", {}, row("th", head)),
      h("tbody", {}, ...rows.map((texts) => row("td", texts)))));
  };
  return { length: end - at, build };
}

/** @param {string} line */
function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

// -- within a block ---------------------------------------------------------------------------

/**
 * The inline elements of a text.
 *
 * @param {string} text
 * @param {number} [depth]
 * @returns {DocumentFragment}
 */
export function inline(text, depth = 0) {
  const all = document.createDocumentFragment();
  /** Marks that close nowhere in the rest: looking again would take quadratic time. */
  const hopeless = new Set();
  let plain = "";
  const flush = () => {
    if (plain) all.append(plain);
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const found = readSpan(text, at, depth, hopeless);
    if (typeof found === "string") {
      plain += found;
      at += found.length;
    } else if (found) {
      flush();
      if (found.node) all.append(found.node);
      plain += found.plain ?? "";
      at = found.end;
    } else {
      const next = nextSpecial(text, at + 1);
      plain += text.slice(at, next);
      at = next;
    }
  }
  flush();
  return all;
}

const SPECIAL = /[\\`*_~[!<\n]|https?:\/\//gi;

/** @param {string} text @param {number} from */
function nextSpecial(text, from) {
  SPECIAL.lastIndex = from;
  return SPECIAL.exec(text)?.index ?? text.length;
}

/**
 * What stands at `at`: a node with its end, plain text to step over, or null for nothing special.
 *
 * @param {string} text
 * @param {number} at
 * @param {number} depth
 * @param {Set<string>} hopeless
 * @returns {{node?: Node, plain?: string, end: number} | string | null}
 */
function readSpan(text, at, depth, hopeless) {
  switch (text[at]) {
    case "\\": {
      const next = text[at + 1] ?? "";
      if (next === "\n") return { node: h("br"), end: at + 2 };
      return /[!-/:-@[-`{-~]/.test(next) ? { plain: next, end: at + 2 } : null;
    }
    case "\n":
      return { node: h("br"), end: at + 1 };
    case "`":
      return readCodeSpan(text, at, hopeless);
    case "*":
    case "_":
    case "~":
      return readEmphasis(text, at, depth, hopeless);
    case "!":
    case "[":
      return readLink(text, at, depth);
    case "<": {
      const found = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i.exec(text.slice(at, at + 2048));
      return found ? { node: link(found[1], found[1]), end: at + found[0].length } : null;
    }
    case "h":
    case "H":
      return readAddress(text, at);
    default:
      return null;
  }
}

/** @param {string} text @param {number} at */
function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

/** @param {string} text @param {number} at @param {Set<string>} hopeless */
function readCodeSpan(text, at, hopeless) {
  const marks = "`".repeat(runLength(text, at));
  const close = hopeless.has(marks) ? -1 : closingTicks(text, at + marks.length, marks.length);
  if (close < 0) {
    hopeless.add(marks);
    return marks;
  }
  let code = text.slice(at + marks.length, close).replace(/\n/g, " ");
  if (/^ .*\S.* $/.test(code)) code = code.slice(1, -1);
  return { node: h("code", {}, code), end: close + marks.length };
}

/** @param {string} text @param {number} from @param {number} length */
function closingTicks(text, from, length) {
  for (let at = text.indexOf("`", from); at >= 0; at = text.indexOf("`", at)) {
    const run = runLength(text, at);
    if (run === length) return at;
    at += run;
  }
  return -1;
}

/** @param {string} text @param {number} at @param {number} depth @param {Set<string>} hopeless */
function readEmphasis(text, at, depth, hopeless) {
  const mark = text[at];
  const length = runLength(text, at);
  const marks = mark.repeat(length);
  const before = text[at - 1] ?? " ";
  const after = text[at + length] ?? " ";
  // 3*4*5 is arithmetic, some_long_name a name
  const within = mark === "_" ? WORD.test(before) : /\d/.test(before) && /\d/.test(after);
  const opens = /\S/.test(after) && !within;
  const known = mark === "~" ? length === 2 : length <= 3;
  if (!known || !opens || depth >= DEEPEST || hopeless.has(marks)) return marks;
  const close = closingMarks(text, at + length, mark, length);
  if (close < 0) {
    hopeless.add(marks);
    return marks;
  }
  const content = inline(text.slice(at + length, close), depth + 1);
  const tag = mark === "~" ? "del" : length === 1 ? "em" : "strong";
  const node = length === 3 ? h("strong", {}, h("em", {}, content)) : h(tag, {}, content);
  return { node, end: close + length };
}

/**
 * Where the run that closes begins. A run of three closes an inner mark and this one together.
 *
 * @param {string} text
 * @param {number} from
 * @param {string} mark
 * @param {number} length
 */
function closingMarks(text, from, mark, length) {
  let at = from;
  while (at < text.length) {
    if (text[at] === "\\") {
      at += 2;
    } else if (text[at] === "`") {
      const run = runLength(text, at);
      const close = closingTicks(text, at + run, run);
      at = (close < 0 ? at : close) + run;
    } else if (text[at] !== mark) {
      at += 1;
    } else {
      const run = runLength(text, at);
      const fits = run === length || (run === 3 && mark !== "~");
      const after = text[at + run] ?? " ";
      const ends = /\S/.test(text[at - 1]) && !(mark === "_" && WORD.test(after));
      if (fits && ends && at > from) return at + run - length;
      at += run;
    }
  }
  return -1;
}

/**
 * `[words](address)`. A picture becomes a link too: this page fetches nothing from elsewhere.
 *
 * @param {string} text
 * @param {number} at
 * @param {number} depth
 */
function readLink(text, at, depth) {
  const open = text[at] === "!" ? at + 1 : at;
  if (text[open] !== "[" || depth >= DEEPEST) return null;
  const length = text.slice(open, open + LONGEST_LINK).indexOf("](");
  if (length < 0) return null;
  const middle = open + length;
  const words = text.slice(open + 1, middle);
  if (words.includes("[")) return null;
  const found = TARGET.exec(text.slice(middle + 2, middle + 4096));
  if (!found) return null;
  const address = found[1] ?? found[2];
  const end = middle + 2 + found[0].length;
  if (open > at) return { node: link(address, words || address), end };
  return { node: link(address, inline(words, DEEPEST)), end };
}

/** @param {string} text @param {number} at */
function readAddress(text, at) {
  if (at > 0 && WORD.test(text[at - 1])) return null;
  const found = ADDRESS.exec(text.slice(at, at + 2048));
  if (!found) return null;
  let address = found[0].replace(/[.,;:!?'"*_~\]]+$/, "");
  if (address.endsWith(")") && !address.includes("(")) address = address.replace(/\)+$/, "");
  return { node: link(address, address), end: at + address.length };
}

/**
 * A link where the address is one that may be followed, otherwise just the words.
 *
 * @param {string} address
 * @param {Node | string} words
 */
function link(address, words) {
  const url = tryUrl(address);
  if (!url || !SCHEMES.has(url.protocol)) return h("span", {}, words);
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, words);
}

/** @param {string} address */
function tryUrl(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
