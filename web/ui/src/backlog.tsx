/**
 * How much of a long conversation is drawn: its end at once, what was before when somebody scrolls
 * up to it, so that a year of messages opens as fast as three. However many messages come, each
 * frame draws a few of them, and who stands at the end has only the newest on the page.
 */

import type { Transcript } from "@parlour/client";
import { useEffect, useLayoutEffect, useReducer, useRef } from "preact/hooks";
import type { Follow } from "./follow";
import { useTexts } from "./texts";

const PAGE = 30;
/** More than these are not kept on the page for who stands at its end. */
const MOST = 90;
/** What is drawn in a frame shall take about so many milliseconds. */
const BUDGET = 16;
const FEWEST = 1;
const MANY = 10;
/** How far above the screen the next ones are fetched. */
const AHEAD = "600px 0px 0px 0px";

interface Backlog {
  /** The place of the first item that is drawn, and of the first after them. */
  from: number;
  to: number;
  more: () => void;
}

/** What is drawn, and what is to be: from `goal` to the end. */
interface Extent {
  from: number;
  to: number;
  goal: number;
}

/** The next extent on the way from `now` to all of `goal` … `total`, by `step` items. */
export function advance({ from, to, goal }: Extent, total: number, step: number): Extent {
  // what is drawn is not wanted any more: the end comes first, what is before it next
  if (goal >= to) return { from: Math.max(goal, total - step), to: total, goal };
  if (from < goal) return advance({ from: goal, to, goal }, total, step);
  if (to < total) return { from, to: Math.min(total, to + step), goal };
  return { from: Math.max(goal, from - step), to: total, goal };
}

export function useBacklog(
  transcript: Transcript,
  scroller: { current: HTMLElement | null },
  follow: { current: Follow | null },
): Backlog {
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const extent = useRef<Extent>({ from: 0, to: 0, goal: 0 });
  const settled = useRef(false);
  const step = useRef(FEWEST * 2);
  const height = useRef(0);
  const { items, live, questions } = transcript;
  const total = items.length;
  const asked = questions[0] ? items.findIndex(({ key }) => key === questions[0]?.key) : total;
  const newest = Math.max(0, Math.min(total - PAGE, asked));
  const { current } = extent;
  const follows = follow.current?.follows ?? true;
  // what is still coming in at the beginning is all history
  const goal = settled.current && !(follows && total - current.from > MOST) ? current.goal : newest;
  const started = performance.now();
  const { from, to } = advance({ ...current, goal }, total, step.current);
  extent.current = { from, to, goal };
  if (live && total) settled.current = true;
  const grows = from < current.from && current.to > from;
  useLayoutEffect(() => {
    const took = performance.now() - started;
    if (took > BUDGET) step.current = Math.max(FEWEST, Math.floor(step.current / 2));
    else if (took < BUDGET / 3) step.current = Math.min(MANY, step.current + 1);
    // what is put before leaves what is read where it is
    const { current: place } = scroller;
    if (place && height.current && grows && !follows) {
      place.scrollTop += place.scrollHeight - height.current;
    }
    height.current = 0;
  });
  const again = to < total || from > goal;
  useEffect(() => {
    if (!again) return;
    const frame = requestAnimationFrame(() => {
      height.current = scroller.current?.scrollHeight ?? 0;
      draw(0);
    });
    return () => cancelAnimationFrame(frame);
  });
  const more = () => {
    if (from > goal) return;
    extent.current.goal = Math.max(0, from - PAGE);
    height.current = scroller.current?.scrollHeight ?? 0;
    draw(0);
  };
  return { from, to, more };
}

interface EarlierProps extends Omit<Backlog, "to"> {
  scroller: { current: HTMLElement | null };
}

/** Asks for more by itself when it comes near the screen; by keyboard, when it is pressed. */
export function Earlier({ from, more, scroller }: EarlierProps) {
  const texts = useTexts();
  const button = useRef<HTMLButtonElement>(null);
  const ask = useRef(more);
  ask.current = more;
  useEffect(() => {
    if (!button.current) return;
    const options = { root: scroller.current, rootMargin: AHEAD };
    const watch = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting) ask.current();
    }, options);
    watch.observe(button.current);
    return () => watch.disconnect();
  }, [from, scroller]);
  return (
    <button type="button" class="quiet earlier" ref={button} onClick={more}>
      {texts.showEarlier}
    </button>
  );
}
