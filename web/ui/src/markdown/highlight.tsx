/** Colours for code, in a chunk of its own: a tree of classes becomes elements. */

import { common, createLowlight } from "lowlight";
import type { ComponentChildren } from "preact";

const lowlight = createLowlight(common);

type Root = ReturnType<typeof lowlight.highlight>;

export function highlight(text: string, language: string): ComponentChildren {
  const name = language.toLowerCase();
  return lowlight.registered(name) ? lowlight.highlight(name, text).children.map(element) : text;
}

function element(node: Root["children"][number]): ComponentChildren {
  if (node.type === "text") return node.value;
  if (node.type !== "element") return null;
  const names = node.properties.className;
  return (
    <span class={Array.isArray(names) ? names.join(" ") : ""}>{node.children.map(element)}</span>
  );
}
