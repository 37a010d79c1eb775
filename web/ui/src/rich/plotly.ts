/**
 * Plotly's figures. Its bundles make no code from strings, so a strict policy lets them run: the
 * small one has what most figures are made of, the large one everything.
 */

import small from "plotly.js-cartesian-dist-min/plotly-cartesian.min.js?url";
import large from "plotly.js-strict-dist-min/plotly-strict.min.js?url";
import { adopt } from "../styles";
import type { Draw } from "./figure";
import type { Look } from "./look";
import { script } from "./script";

type Tree = Record<string, unknown>;

/** As much of Plotly as is used here; its bundles bring no types. */
interface Plotly {
  newPlot(place: HTMLElement, data: object[], layout: object, config: object): Promise<void>;
  addFrames(place: HTMLElement, frames: object[]): Promise<void>;
  purge(place: HTMLElement): void;
  toImage(place: HTMLElement, options: object): Promise<string>;
  Plots: { resize(place: HTMLElement): Promise<void> };
}

/** What the small bundle draws. */
const SMALL = new Set(
  "scatter bar box heatmap histogram histogram2d histogram2dcontour contour violin image pie".split(
    " ",
  ),
);
const HEIGHT = 380;
/** Beside a figure that is narrower than this there is no room for its legend. */
const NARROW = 480;
const MARGIN = { l: 48, r: 16, b: 48 };
/** The rules that Plotly writes; see `takeStyles`. */
const ID = "plotly.js-style-global";

export const draw: Draw = async (place, { data = [], layout = {}, frames = [] }, look) => {
  const traces = (data as Tree[]).map(withoutWebGl);
  const plotly = await fetchFor(traces);
  takeStyles(place);
  const own = layout as Tree;
  const { width: _, ...rest } = own;
  const height = Number(own.height) || Number.parseInt(place.style.minHeight, 10) || HEIGHT;
  const narrow = place.clientWidth < NARROW;
  const theme = template(own.template, look, narrow);
  const themed = { ...rest, height, autosize: true, template: theme };
  const above = (own.title ? 56 : 24) + (narrow ? 28 : 0);
  const margin = { ...MARGIN, t: above, ...(narrow ? {} : (own.margin as Tree)) };
  const config = { displayModeBar: false, responsive: false, showTips: false };
  await plotly.newPlot(place, traces, { ...themed, margin }, config);
  if ((frames as Tree[]).length) await plotly.addFrames(place, frames as Tree[]);
  const watch = new ResizeObserver(() => void plotly.Plots.resize(place));
  watch.observe(place);
  return {
    end: () => {
      watch.disconnect();
      plotly.purge(place);
    },
    picture: () => plotly.toImage(place, { format: "png", scale: 2, setBackground: look.page }),
  };
};

function fetchFor(traces: Tree[]): Promise<Plotly> {
  prepareStyles();
  const enough = traces.every(({ type = "scatter" }) => SMALL.has(String(type)));
  return script<Plotly>(enough ? small : large, "Plotly");
}

/** Many points are sent as WebGL, of which a page may have a few only; as SVG they are as well. */
function withoutWebGl(trace: Tree): Tree {
  return trace.type === "scattergl" ? { ...trace, type: "scatter" } : trace;
}

/** What the figure's author did not choose is as the chat is: a template gives way to a layout. */
function template(own: unknown, { ink, line, page, font }: Look, narrow: boolean): Tree {
  const { layout = {}, data = {} } = (own ?? {}) as { layout?: Tree; data?: Tree };
  const clear = "rgba(0,0,0,0)";
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line };
  const axes = Object.fromEntries(
    ["xaxis", "yaxis"].map((name) => [name, { ...(layout[name] as Tree), ...axis }]),
  );
  return {
    data: Object.fromEntries(
      Object.entries(data).map(([name, traces]) => [
        name,
        (traces as Tree[]).map((trace) => withoutEdges(trace, page)),
      ]),
    ),
    layout: {
      ...layout,
      ...axes,
      ...(narrow && { legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 } }),
      paper_bgcolor: clear,
      plot_bgcolor: clear,
      font: { ...(layout.font as Tree), color: ink, family: font },
      hoverlabel: { bgcolor: page, bordercolor: line, font: { color: ink } },
    },
  };
}

/** The default template outlines bars with the colour of its own background. */
function withoutEdges(trace: Tree, page: string): Tree {
  const marker = trace.marker as Tree | undefined;
  const line = marker?.line as Tree | undefined;
  return line ? { ...trace, marker: { ...marker, line: { ...line, color: page } } } : trace;
}

/**
 * Plotly writes its rules into a style element of the page, which the policy forbids and which a
 * component would not see. It finds one that only looks like it, whose rules are the component's.
 */
function prepareStyles(): void {
  if (document.getElementById(ID)) return;
  const place = document.createElement("meta");
  place.id = ID;
  Object.assign(place, { sheet: new CSSStyleSheet() });
  document.head.append(place);
}

function takeStyles(place: HTMLElement): void {
  const found = document.getElementById(ID) as (HTMLElement & { sheet?: CSSStyleSheet }) | null;
  const rules = Array.from(found?.sheet?.cssRules ?? [], ({ cssText }) => cssText);
  adopt(place, rules.reverse().join("\n"));
}
