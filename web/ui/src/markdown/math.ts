/**
 * Mathematics in Markdown: `$…$`, `\(…\)`, `$$…$$` and `\[…\]`. Amounts of money are no mathematics,
 * so a dollar sign counts only where what it would enclose can be a formula.
 */

import type { MarkedExtension, Tokens } from "marked";

export interface MathToken extends Tokens.Generic {
  type: "math";
  text: string;
  display: boolean;
}

const INLINE =
  /^\\\((.+?)\\\)|^\\\[(.+?)\\\]|^\$\$(?!\$)([^$]+?)\$\$|^\$(?![\s$])((?:[^$\n]|\n(?!\n))+?)\$(?!\d)/;
/** No blank line stands in a formula; TeX would not have it either. */
const BLOCK =
  /^ {0,3}(?:\$\$((?:(?!\n[ \t]*\n)[^$])+?)\$\$|\\\[((?:(?!\n[ \t]*\n)[\s\S])+?)\\\]) *(?:\n|$)/;
/** One that may still be closed: until then it is neither a list nor a heading. */
const OPEN = /^ {0,3}(?:\$\$(?!\$)|\\\[)(?:(?!\n[ \t]*\n)[\s\S])*$/;

/** Whether what stands between two single dollar signs is a formula rather than prose and prices. */
export function isFormula(text: string): boolean {
  if (/^\s|\s$|\\$/.test(text)) return false;
  const bare = text.replace(/\\[A-Za-z]+\*?(\{[^{}]*\})?/g, "");
  const words = bare.match(/\p{L}{2,}/gu) ?? [];
  const signs = /[\\^_=<>{}+*/|]/.test(text);
  if (/^\d/.test(text)) return words.length === 0 && !/\d[.,]?\s+\S*\d{2}/.test(bare);
  return signs ? words.length < 4 : words.length === 0 || !/\s/.test(text);
}

/** `growing`: more of the text is to come. */
export const mathematics = (growing: boolean): MarkedExtension => ({
  extensions: [
    {
      name: "math",
      level: "block",
      // where a paragraph may end; at its beginning it has been tried already
      start: (source) => source.match(/\n {0,3}(?:\$\$|\\\[)/)?.index,
      tokenizer: (source) => {
        const [raw, dollars, brackets] = BLOCK.exec(source) ?? [];
        const text = (dollars ?? brackets)?.trim();
        if (raw && text) return { type: "math", raw, text, display: true };
        const [open] = (growing && OPEN.exec(source)) || [];
        return open ? { type: "text", raw: open, text: open, escaped: false } : undefined;
      },
    },
    {
      name: "math",
      level: "inline",
      start: (source) => source.match(/\$|\\\(|\\\[/)?.index,
      tokenizer: (source) => {
        const [raw, round, square, double, single] = INLINE.exec(source) ?? [];
        const text = round ?? square ?? double ?? single;
        if (!raw || !text?.trim() || (single && !isFormula(single))) return undefined;
        return { type: "math", raw, text: text.trim(), display: !!(square ?? double) };
      },
    },
  ],
});
