/**
 * Vega's figures, without code made from strings: its expressions are interpreted. Nothing is
 * fetched from anywhere; what a figure shows stands in it.
 */

import type * as Vega from "vega";
import { expressionInterpreter } from "vega-interpreter";
import type * as VegaLite from "vega-lite";
import vegaScript from "../../../node_modules/vega/build/vega.min.js?url";
import vegaLiteScript from "../../../node_modules/vega-lite/build/vega-lite.min.js?url";
import type { Draw } from "./figure";
import type { Look } from "./look";
import { script } from "./script";

type Tree = Record<string, unknown>;

const loader = {
  options: {},
  load: () => Promise.reject(new Error("nothing is fetched")),
  sanitize: () => Promise.reject(new Error("nothing is fetched")),
  http: () => Promise.reject(new Error("nothing is fetched")),
  file: () => Promise.reject(new Error("nothing is fetched")),
};
/** What Vega has to say of a figure is for its author, not for the console of who looks at it. */
const quiet = () => silent;
const silent = { level: quiet, error: quiet, warn: quiet, info: quiet, debug: quiet } as never;

export const draw: Draw = async (place, spec, look) => {
  const lite = !String(spec.$schema ?? "").includes("/vega/");
  const vega = await script<typeof Vega>(vegaScript, "vega");
  const themed = { ...spec, config: config(spec.config as Tree, look) };
  const plain = lite ? await compiled(filling(themed), vega) : (themed as Vega.Spec);
  // Vega gives its container a role and a name of its own
  const inner = document.createElement("div");
  place.replaceChildren(inner);
  const view = new vega.View(vega.parse(plain, undefined, { ast: true }), {
    container: inner,
    renderer: "svg",
    hover: true,
    expr: expressionInterpreter,
    logLevel: vega.None,
    logger: silent,
    loader: loader as never,
  });
  await view.runAsync();
  const watch = new ResizeObserver(() => void view.resize().runAsync());
  watch.observe(place);
  return {
    end: () => {
      watch.disconnect();
      view.finalize();
      place.replaceChildren();
    },
    picture: async () => {
      const canvas = await view.background(look.page).toCanvas(2);
      await view.background("transparent").runAsync();
      return canvas.toDataURL("image/png");
    },
  };
};

async function compiled(spec: Tree, vega: typeof Vega): Promise<Vega.Spec> {
  // it looks for Vega by its name while it is loaded
  const page = globalThis as Record<string, unknown>;
  const own = page.vega;
  page.vega = vega;
  const { compile } = await script<typeof VegaLite>(vegaLiteScript, "vegaLite").finally(() => {
    page.vega = own;
  });
  return compile(spec as unknown as VegaLite.TopLevelSpec, { logger: silent }).spec;
}

/** A single figure that says no width is as wide as there is room. */
function filling(spec: Tree): Tree {
  const single = "mark" in spec || "layer" in spec;
  if (!single || spec.width !== undefined) return spec;
  return { autosize: { type: "fit-x", contains: "padding" }, ...spec, width: "container" };
}

/** What the figure's author did not choose is as the chat is. */
function config(own: Tree = {}, { ink, muted, line, font }: Look): Tree {
  const words = { labelColor: muted, titleColor: ink, labelFont: font, titleFont: font };
  const themed: Tree = {
    background: "transparent",
    font,
    axis: { ...words, gridColor: line, domainColor: line, tickColor: line },
    legend: words,
    header: words,
    title: { color: ink, subtitleColor: muted, font, subtitleFont: font, fontSize: 15 },
    view: { stroke: "transparent", continuousHeight: 300, discreteHeight: 300 },
    style: { "guide-label": { font }, "guide-title": { font }, text: { fill: ink, font } },
  };
  // altair's own defaults are no choice of the author's
  const { view, ...chosen } = own;
  const kept = JSON.stringify(view) === '{"continuousWidth":300,"continuousHeight":300}';
  return { ...themed, ...chosen, ...(view && !kept ? { view } : {}) };
}
