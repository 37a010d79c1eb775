/** A block of code: coloured when its highlighter is there, to be copied, to be wrapped. */

import { type ComponentChildren, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../icons";
import { useSurroundings } from "../surroundings";
import { useTexts } from "../texts";

/** Colouring a block again with each word is worth it while it is short. */
const SHORT = 4_000;
const COPIED_FOR = 2_000;

interface CodeProps {
  text: string;
  language: string;
  whole: boolean;
}

export function Code({ text, language, whole }: CodeProps) {
  const texts = useTexts();
  const [wraps, setWraps] = useState(false);
  const name = language.split(/\s/)[0] ?? "";
  return (
    <div class="code" data-wraps={wraps} dir="ltr">
      <div class="code-head">
        <span>{name}</span>
        <span class="code-tools">
          <button type="button" class="tool" aria-pressed={wraps} onClick={() => setWraps(!wraps)}>
            <Icon name="wrap" />
            <span class="tool-words">{texts.wrapLines}</span>
          </button>
          <Copy text={text} />
        </span>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{useColours(text, name, whole)}</code>
      </pre>
    </div>
  );
}

function useColours(text: string, language: string, whole: boolean): ComponentChildren {
  const [coloured, setColoured] = useState<{ of: string; nodes: ComponentChildren }>();
  const wanted = !!language && (whole || text.length < SHORT);
  useEffect(() => {
    if (!wanted) return;
    let current = true;
    void import("./highlight").then(({ highlight }) => {
      if (current) setColoured({ of: text, nodes: highlight(text, language, h) });
    });
    return () => {
      current = false;
    };
  }, [text, language, wanted]);
  if (!coloured || !text.startsWith(coloured.of)) return text;
  // what came since stands behind, without colour, until its turn
  return [coloured.nodes, text.slice(coloured.of.length)];
}

function Copy({ text }: { text: string }) {
  const texts = useTexts();
  const { announce } = useSurroundings();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_FOR);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const done = await writeText(text);
    setCopied(done);
    announce(done ? texts.copied : "");
  };
  return (
    <button type="button" class="tool" aria-label={texts.copyCode} onClick={() => void copy()}>
      <Icon name={copied ? "check" : "copy"} />
      <span>{copied ? texts.copied : texts.copy}</span>
    </button>
  );
}

/** Whether it is on the clipboard, which pages without HTTPS may not have. */
async function writeText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
