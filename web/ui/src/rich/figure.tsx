/** A figure that lives: Plotly's or Vega's, each in a chunk of its own, in the chat's theme. */

import type { FileRef } from "@parlour/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../icons";
import { useTexts } from "../texts";
import { Caption } from "./caption";
import { useContent } from "./content";
import { type Look, useLook } from "./look";
import { Missing } from "./missing";

export interface Drawing {
  end(): void;
  /** The address of a picture of it. */
  picture(): Promise<string>;
}

export type Draw = (
  place: HTMLElement,
  spec: Record<string, unknown>,
  look: Look,
) => Promise<Drawing>;

const HEIGHT = 380;
const AHEAD = "400px";

async function drawer(type: string): Promise<Draw> {
  if (type.includes("plotly")) return (await import("./plotly")).draw;
  return (await import("./vega")).draw;
}

export function Figure({ file }: { file: FileRef }) {
  const texts = useTexts();
  const frame = useRef<HTMLElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing>(null);
  const [state, setState] = useState<"waits" | "drawn" | "failed">("waits");
  const content = useContent(file, (text) => JSON.parse(text) as Record<string, unknown>);
  const near = useNear(frame);
  const look = useLook(frame);
  const { value: spec } = content;
  const { type = "" } = file;
  useEffect(() => {
    if (!near || !spec || !look || !place.current) return;
    const { current } = place;
    let over = false;
    drawer(type)
      .then((draw) => (over ? null : draw(current, structuredClone(spec), look)))
      .then((made) => {
        if (over) return made?.end();
        drawing.current = made;
        setState("drawn");
      })
      .catch(() => over || setState("failed"));
    return () => {
      over = true;
      drawing.current?.end();
      drawing.current = null;
    };
  }, [near, spec, look, type]);
  if (content.failed) return <Missing file={file} again={content.again} />;
  if (state === "failed") return <Missing file={file} words={texts.notDrawn} />;
  const height = (element: HTMLDivElement | null) => {
    place.current = element;
    if (element) element.style.minHeight = `${file.height || HEIGHT}px`;
  };
  return (
    <figure class="figure" ref={frame}>
      <div class="drawing" role="img" aria-label={file.alt || file.name} ref={height} />
      <Caption file={file} words="" label="JSON">
        {state === "drawn" && (
          <button type="button" class="tool" onClick={() => void keep(drawing.current, file)}>
            <Icon name="save" />
            <span>PNG</span>
          </button>
        )}
      </Caption>
    </figure>
  );
}

async function keep(drawing: Drawing | null, { name }: FileRef): Promise<void> {
  if (!drawing) return;
  const link = document.createElement("a");
  link.href = await drawing.picture();
  link.download = `${name.replace(/\.json$/, "")}.png`;
  link.click();
}

/** Whether it has come near the screen: what nobody looks at is not drawn. */
function useNear(frame: { current: HTMLElement | null }): boolean {
  const [near, setNear] = useState(false);
  useEffect(() => {
    if (near || !frame.current) return;
    const watch = new IntersectionObserver(([entry]) => entry?.isIntersecting && setNear(true), {
      rootMargin: AHEAD,
    });
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, [near, frame]);
  return near;
}
