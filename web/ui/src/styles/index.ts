/** The component's sheets. Constructed, not inlined: a policy without inline styles lets them. */

import base from "./base.css?inline";
import composer from "./composer.css?inline";
import frame from "./frame.css?inline";
import prose from "./prose.css?inline";
import question from "./question.css?inline";
import transcript from "./transcript.css?inline";

const made = new Map<string, CSSStyleSheet>();

/** Adds a sheet to the component that `place` stands in, once. */
export function adopt(place: Node, css: string): void {
  const root = place.getRootNode();
  if (!(root instanceof ShadowRoot)) return;
  let sheet = made.get(css);
  if (!sheet) {
    sheet = new CSSStyleSheet();
    // in a layer, so that a sheet of the app's own has the last word
    sheet.replaceSync(`@layer chat{${css}}`);
    made.set(css, sheet);
  }
  if (!root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
}

export function adoptAll(root: ShadowRoot): void {
  for (const css of [base, frame, transcript, prose, question, composer]) adopt(root, css);
}
