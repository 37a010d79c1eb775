/**
 * Markdown on the screen. Elements are made from parsed tokens, never from HTML: what looks like
 * HTML is shown as the text it is, so there is nothing to be sanitised.
 */

import type { Token, Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { memo } from "../memo";
import { useTexts } from "../texts";
import { type Block, Blocks } from "./blocks";
import { Code } from "./code";
import { decoded } from "./entities";
import { Formula } from "./formula";

export interface MarkdownProps {
  text: string;
  /** Nothing follows: it is not being written any more. */
  whole: boolean;
}

export function Markdown({ text, whole }: MarkdownProps) {
  const blocks = useRef<Blocks>(null);
  blocks.current ??= new Blocks();
  const shown = useMemo(() => blocks.current?.update(text, whole) ?? [], [text, whole]);
  return shown.map((block) => (
    <BlockView key={block.key} block={block} whole={whole || block !== shown.at(-1)} />
  ));
}

interface BlockProps {
  block: Block;
  whole: boolean;
}

const BlockView = memo(function BlockView({ block: { token }, whole }: BlockProps) {
  // text that stands by itself may still become a formula
  return token.type === "text" ? <p>{token.raw}</p> : render(token, whole);
});

/** What a token becomes. `whole` is false while its end may be still to come. */
function render(token: Token, whole = true): ComponentChildren {
  switch (token.type) {
    case "heading": {
      // the page's own heading is the first
      const Tag = `h${Math.min(6, token.depth + 1)}` as "h2";
      return <Tag>{children(token)}</Tag>;
    }
    case "paragraph":
      return <p>{children(token)}</p>;
    case "blockquote":
      return <blockquote>{children(token)}</blockquote>;
    case "list":
      return <List list={token as Tokens.List} />;
    case "code":
      return <Code text={token.text} language={token.lang ?? ""} whole={whole} />;
    case "table":
      return <Table table={token as Tokens.Table} />;
    case "hr":
      return <hr />;
    case "strong":
      return <strong>{children(token)}</strong>;
    case "em":
      return <em>{children(token)}</em>;
    case "del":
      return <del>{children(token)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link href={token.href}>{children(token)}</Link>;
    case "image":
      // a picture from elsewhere would tell its host who reads this
      return <Link href={token.href}>{token.text || token.href}</Link>;
    case "math":
      return <Formula text={token.text} display={token.display} />;
    case "checkbox":
      return (
        <span
          class="done"
          role="img"
          aria-label={token.checked ? "☑" : "☐"}
          data-on={token.checked}
        />
      );
    case "html":
      return token.block ? <p>{token.text.trimEnd()}</p> : html(token.text);
    case "space":
    case "def":
      return null;
    default:
      return "tokens" in token && token.tokens ? children(token) : decoded(text(token));
  }
}

/** Line breaks are all of HTML that is taken at its word. */
const html = (text: string) => (/^<br\s*\/?>$/i.test(text) ? <br /> : text);

const text = (token: Token) => ("text" in token ? String(token.text) : token.raw);

function children(token: Token): ComponentChildren {
  return ("tokens" in token ? token.tokens : undefined)?.map((part) => render(part));
}

function List({ list }: { list: Tokens.List }) {
  const items = list.items.map((item) => (
    <li class={item.task ? "task" : undefined}>{children(item)}</li>
  ));
  if (!list.ordered) return <ul>{items}</ul>;
  return <ol start={list.start === 1 ? undefined : Number(list.start)}>{items}</ol>;
}

function Table({ table: { header, rows } }: { table: Tokens.Table }) {
  const texts = useTexts();
  return (
    // biome-ignore lint/a11y/useSemanticElements: it is no set of fields, and no landmark either
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <div class="table" role="group" tabIndex={0} aria-label={texts.table}>
      <table>
        <thead>
          <tr>
            {header.map((cell) => (
              <th scope="col" class={cell.align ?? undefined}>
                {cell.tokens.map((part) => render(part))}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr>
              {row.map((cell) => (
                <td class={cell.align ?? undefined}>{cell.tokens.map((part) => render(part))}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Link({ href, children }: { href: string; children: ComponentChildren }) {
  if (!/^(https?:\/\/|mailto:|tel:)/i.test(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
