/** Colours for code, in a chunk of its own: a tree of classes becomes elements. */

import { common, createLowlight } from "lowlight";
import type { ComponentChildren, h } from "preact";

const lowlight = createLowlight(common);

type Root = ReturnType<typeof lowlight.highlight>;

/** `make` is Preact's: this chunk takes nothing from the first one, which so stays one file. */
export function highlight(text: string, language: string, make: typeof h): ComponentChildren {
  const name = language.toLowerCase();
  if (!lowlight.registered(name)) return text;
  return lowlight.highlight(name, text).children.map((node) => element(node, make));
}

function element(node: Root["children"][number], make: typeof h): ComponentChildren {
  if (node.type === "text") return node.value;
  if (node.type !== "element") return null;
  const names = node.properties.className;
  const inside = node.children.map((child) => element(child, make));
  return make("span", { class: Array.isArray(names) ? names.join(" ") : "" }, inside);
}
