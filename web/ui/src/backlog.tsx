/**
 * How much of a long conversation is drawn: its end at once, what was before when somebody scrolls
 * up to it, so that a year of messages opens as fast as three.
 */

import type { Transcript } from "@parlour/client";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "./texts";

const PAGE = 30;
/** How far above the screen the next ones are fetched. */
const AHEAD = "600px 0px 0px 0px";

interface Backlog {
  /** The place of the first item that is drawn. */
  from: number;
  more: () => void;
}

export function useBacklog(
  transcript: Transcript,
  scroller: { current: HTMLElement | null },
): Backlog {
  const [chosen, choose] = useState<number | null>(null);
  const height = useRef(0);
  const { items, live, questions } = transcript;
  const asked = questions[0]
    ? items.findIndex(({ key }) => key === questions[0]?.key)
    : items.length;
  // what is still coming in at the beginning is all history
  const from = chosen ?? Math.max(0, Math.min(items.length - PAGE, asked));
  useEffect(() => {
    if (live && chosen === null) choose(from);
  }, [live, chosen, from]);
  // what is put before leaves what is read where it is
  useLayoutEffect(() => {
    const { current } = scroller;
    if (current && height.current) current.scrollTop += current.scrollHeight - height.current;
    height.current = 0;
  }, [from, scroller]);
  const more = () => {
    height.current = scroller.current?.scrollHeight ?? 0;
    choose(Math.max(0, from - PAGE));
  };
  return { from, more };
}

interface EarlierProps extends Backlog {
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
