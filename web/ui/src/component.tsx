/**
 * A component of the app's own, in a frame without an origin: it gets its data and the look of the
 * chat, and may say how high it is, send a signal, or say something in the user's name.
 */

import type { ComponentItem, Conversation } from "@parlour/client";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { Markdown } from "./markdown/markdown";
import { useSurroundings } from "./surroundings";
import { Speech } from "./texts";

const HIGHEST = 2000;
const LONGEST = 4000;
const PAUSE = 500;
const TOKENS = [
  "page",
  "raised",
  "sunken",
  "ink",
  "muted",
  "line",
  "accent",
  "on-accent",
  "radius",
];

export function ComponentTurn({ item }: { item: ComponentItem }) {
  const { chat } = useSurroundings();
  const { offer } = chat;
  const known = offer?.components.includes(item.name);
  return (
    <div class="turn bot component">
      {known ? <Frame item={item} /> : offer !== null && <InWords item={item} />}
    </div>
  );
}

function InWords({ item }: { item: ComponentItem }) {
  return (
    <div class="prose" dir="auto">
      <Markdown text={item.text || item.name} whole />
    </div>
  );
}

function Frame({ item }: { item: ComponentItem }) {
  const { chat } = useSurroundings();
  const { tag, direction } = useContext(Speech);
  const frame = useRef<HTMLIFrameElement>(null);
  const [height, setHeight] = useState(0);
  useEffect(() => {
    const tell = () => {
      const { current } = frame;
      if (!current) return;
      const { look, colours } = lookOf(current);
      const message = { data: item.data, language: tag, direction, theme: look, colours };
      // its origin is none, so that none can be named
      current.contentWindow?.postMessage(message, "*");
    };
    const does = guarded(chat.conversation);
    const hear = ({ source, data }: MessageEvent) => {
      if (!data || !frame.current || source !== frame.current.contentWindow) return;
      if (data.ready === true) tell();
      if (Number.isFinite(data.height)) setHeight(Math.min(HIGHEST, Math.max(0, data.height)));
      does(data);
    };
    addEventListener("message", hear);
    const theme = new MutationObserver(tell);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const root = frame.current?.closest(".chat");
    if (root) theme.observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    dark.addEventListener("change", tell);
    tell();
    return () => {
      removeEventListener("message", hear);
      theme.disconnect();
      dark.removeEventListener("change", tell);
    };
  }, [item, tag, direction, chat]);
  return (
    <iframe
      ref={frame}
      src={new URL(`components/${encodeURIComponent(item.name)}`, chat.base).href}
      sandbox="allow-scripts"
      title={item.text || item.name}
      style={{ blockSize: `${height || 80}px` }}
    />
  );
}

/** Does what a component asks for, and not too often. */
function guarded(conversation: Conversation) {
  let last = 0;
  return ({ say, signal, data }: { say?: unknown; signal?: unknown; data?: unknown }) => {
    const speaks = typeof say === "string" && !!say.trim();
    const signals = typeof signal === "string" && !!signal;
    if (!(speaks || signals) || Date.now() - last < PAUSE) return;
    last = Date.now();
    if (speaks) conversation.say(say.slice(0, LONGEST));
    else if (signals) conversation.signal(signal.slice(0, 128), data);
  };
}

/** The chat's colours as they are now, so that a component fits in. */
function lookOf(frame: HTMLElement) {
  const chat = frame.closest(".chat") ?? frame;
  const style = getComputedStyle(chat);
  const colours = Object.fromEntries(
    TOKENS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
  const own = style.colorScheme;
  const dark =
    own === "dark" || (own !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  return { look: dark ? "dark" : "light", colours };
}
