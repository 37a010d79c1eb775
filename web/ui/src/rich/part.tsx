/** A part of the bot's work: its name, how it stands and for how long, and inside what it did. */

import type { Cost, PartItem } from "@parlour/client";
import { useContext, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../icons";
import { Markdown } from "../markdown/markdown";
import { memo } from "../memo";
import { adopt } from "../styles";
import css from "../styles/rich.css?inline";
import { useSurroundings } from "../surroundings";
import { fill, Speech, type Texts } from "../texts";
import { ProgressLine } from "./progress";

export { ProgressLine };

const TICK = 1_000;
const STATES = { running: "partRunning", failed: "partFailed", stopped: "partStopped" } as const;

export function PartTurn({ item }: { item: PartItem }) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, css);
  }, []);
  return (
    <div class="turn part" ref={place}>
      <PartView item={item} />
    </div>
  );
}

const PartView = memo(function PartView({ item }: { item: PartItem }) {
  const { texts } = useContext(Speech);
  const { stay } = useSurroundings();
  const { progress } = item;
  const running = item.state === "running";
  // while it runs one sees what it does; later who wants to
  const [chosen, choose] = useState<boolean | null>(null);
  const open = chosen ?? running;
  const full = !!(item.input || item.output || item.parts.length);
  const line = <PartLine item={item} full={full} />;
  return (
    <>
      {full ? (
        <details
          open={open}
          onToggle={({ currentTarget }) => {
            if (currentTarget.open === open) return;
            stay();
            choose(currentTarget.open);
          }}
        >
          <summary>{line}</summary>
          {open && (
            <div class="part-body">
              <Piece label={texts.partInput} text={item.input} whole />
              {item.parts.map((part) => (
                <PartView key={part.key} item={part} />
              ))}
              <Piece label={texts.partOutput} text={item.output} whole={!running} />
            </div>
          )}
        </details>
      ) : (
        <div class="part-alone">{line}</div>
      )}
      {running && progress && <ProgressLine progress={progress} />}
    </>
  );
});

function PartLine({ item, full }: { item: PartItem; full: boolean }) {
  const { texts, tag } = useContext(Speech);
  const { state } = item;
  const time = useTime(item);
  const words = [time >= 0.05 ? seconds(time, tag) : "", ...costs(item.cost, texts, tag)];
  const about = words.filter(Boolean).join(" · ");
  return (
    <span class="part-line" data-state={state}>
      <span class="part-mark">
        {state !== "running" && <Icon name={state === "done" ? "check" : "close"} />}
      </span>
      <span class="part-name">
        {item.name}
        {state !== "done" && <span class="unseen">{`, ${texts[STATES[state]]}`}</span>}
      </span>
      {about && (
        <span class="part-about" aria-hidden={state === "running"}>
          {about}
        </span>
      )}
      {full && <Icon name="open" />}
    </span>
  );
}

function Piece({ label, text, whole }: { label: string; text: string; whole: boolean }) {
  if (!text) return null;
  return (
    <section class="piece">
      <p>{label}</p>
      <div class="prose" dir="auto">
        <Markdown text={text} whole={whole} />
      </div>
    </section>
  );
}

/** How long it took in seconds, or has taken by now; 0 where that is not known. */
function useTime({ state, at, ended }: PartItem): number {
  const { chat } = useSurroundings();
  const [now, setNow] = useState(() => Date.now() / 1000);
  const running = state === "running";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), TICK);
    return () => clearInterval(timer);
  }, [running]);
  if (at === undefined) return 0;
  if (!running) return (ended ?? at) - at;
  const passed = now - chat.conversation.transcript.skew - at;
  return passed < 1 ? 0 : Math.floor(passed);
}

function seconds(time: number, tag: string): string {
  const unit = (value: number, name: string, digits: number) =>
    value.toLocaleString(tag, {
      style: "unit",
      unit: name,
      unitDisplay: "narrow",
      maximumFractionDigits: digits,
    });
  if (time < 60) return unit(time, "second", time < 10 ? 1 : 0);
  return `${unit(Math.floor(time / 60), "minute", 0)} ${unit(Math.floor(time % 60), "second", 0)}`;
}

function costs(cost: Cost | undefined, texts: Texts, tag: string): string[] {
  if (!cost) return [];
  const { input_tokens: read = 0, output_tokens: wrote = 0, amount, currency = "USD" } = cost;
  const tokens = read + wrote;
  const words = tokens ? [fill(texts.tokens, { count: tokens.toLocaleString(tag) })] : [];
  if (amount !== undefined) words.push(money(amount, currency, tag));
  return words;
}

function money(amount: number, currency: string, tag: string): string {
  const digits = { maximumFractionDigits: amount < 1 ? 4 : 2 };
  try {
    return amount.toLocaleString(tag, { style: "currency", currency, ...digits });
  } catch {
    return `${amount.toLocaleString(tag, digits)} ${currency}`; // a currency of the app's own
  }
}
