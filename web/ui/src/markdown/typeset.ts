/** KaTeX, in a chunk of its own: it builds elements, no HTML, so the strictest policy lets it. */

import katex from "katex";
import css from "katex/dist/katex.css?inline";
import { adopt } from "../styles";

const FONTS = import.meta.glob<string>("../../../node_modules/katex/dist/fonts/*.woff2", {
  query: "?url",
  import: "default",
  eager: true,
});

/** A sheet within a component cannot bring fonts, so the page gets them. */
function addFonts(): void {
  for (const [path, url] of Object.entries(FONTS)) {
    const [, family = "", variant = ""] = /(KaTeX_\w+)-(\w+)\.woff2/.exec(path) ?? [];
    const weight = variant.startsWith("Bold") ? "bold" : "normal";
    const style = variant.endsWith("Italic") ? "italic" : "normal";
    document.fonts.add(
      new FontFace(family, `url(${new URL(url, import.meta.url)})`, { weight, style }),
    );
  }
}

let ready = false;

export function typeset(place: HTMLElement, text: string, display: boolean): void {
  if (!ready) addFonts();
  ready = true;
  adopt(place, css);
  try {
    katex.render(text, place, { displayMode: display, strict: false });
  } catch {
    place.textContent = text; // it is none, or not yet; KaTeX's own way colours it, against the policy
  }
}
