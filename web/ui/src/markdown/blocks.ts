/**
 * A Markdown text as blocks. While it grows, only its tail is parsed again: what stands before the
 * last two blocks cannot change any more. A block that did not change keeps its identity.
 */

import { Marked, type Token } from "marked";
import { mathematics } from "./math";

export interface Block {
  /** Where it begins. */
  key: number;
  token: Token;
}

/** How many blocks at the end may still become something else (a list goes on after a blank). */
const OPEN = 2;

const options = { gfm: true, breaks: true };
const growing = new Marked(options, mathematics(true));
const finished = new Marked(options, mathematics(false));

export class Blocks {
  #blocks: Block[] = [];
  /** The text before the open blocks. */
  #settled = "";

  /** The blocks of `text`; `whole`: nothing will follow it. */
  update(text: string, whole: boolean): Block[] {
    const source = text.replace(/\r\n?/g, "\n");
    // a definition of a link may follow its use, so the whole is parsed once more as one
    if (whole || !source.startsWith(this.#settled)) this.#settled = "";
    const start = this.#settled.length;
    const tokens = parse(source.slice(start), whole ? finished : growing);
    const known = new Map(this.#blocks.map((block) => [block.key, block]));
    const blocks = this.#blocks.filter(({ key }) => key < start);
    let place = start;
    for (const token of tokens) {
      const old = known.get(place);
      if (token.type !== "space" && token.type !== "def") {
        blocks.push(old && same(old.token, token) ? old : { key: place, token });
      }
      place += token.raw.length;
    }
    this.#blocks = blocks;
    this.#settled = source.slice(0, blocks.at(-OPEN)?.key ?? 0);
    return blocks;
  }
}

/** Whether a block is as it was. What follows it may change what the same text means within. */
function same(old: Token, token: Token): boolean {
  return old.raw === token.raw && JSON.stringify(old) === JSON.stringify(token);
}

/** Nested deeper than anyone writes to be read, and than a stack holds. */
const ABYSS = /^[ \t]*(?:>[ \t]*|(?:[-*+]|\d+[.)])[ \t]+){50}/m;

function parse(source: string, marked: Marked): Token[] {
  if (!ABYSS.test(source)) return marked.lexer(source);
  const text = { type: "text" as const, raw: source, text: source, escaped: false };
  return [{ type: "paragraph", raw: source, text: source, tokens: [text] }];
}
