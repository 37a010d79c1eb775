/** The colours of the chat as figures need them: resolved, and again when the theme changes. */

import { useEffect, useState } from "preact/hooks";

export interface Look {
  ink: string;
  muted: string;
  line: string;
  page: string;
  accent: string;
  font: string;
}

const NAMES = ["ink", "muted", "line", "page", "accent"] as const;

export function useLook(place: { current: HTMLElement | null }): Look | undefined {
  const [look, setLook] = useState<Look>();
  useEffect(() => {
    const frame = place.current?.closest(".chat");
    if (!frame) return;
    const read = () => {
      if (place.current) setLook(lookOf(place.current));
    };
    read();
    const watch = new MutationObserver(read);
    watch.observe(frame, { attributes: true, attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", read);
    return () => {
      watch.disconnect();
      system.removeEventListener("change", read);
    };
  }, [place]);
  return look;
}

/** What a custom property comes to, only a real property tells. */
function lookOf(place: HTMLElement): Look {
  const probe = document.createElement("span");
  place.append(probe);
  const style = getComputedStyle(probe);
  const colours = NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, style.color];
  });
  const look = { ...Object.fromEntries(colours), font: style.fontFamily } as Look;
  probe.remove();
  return look;
}
