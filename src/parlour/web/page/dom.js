/** Elements from a few words. Text is always text here: nothing in this page parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. Attributes that are `null`, `undefined` or `false` are left out, `true` stands
 * without a value, and `on…` is a listener.
 *
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child || child === "") element.append(child);
  return element;
}

/** A picture from the sprite in index.html, for the eye only. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

let last = 0;

/** An id for `for`, `aria-labelledby` and their like, unique in this page. */
export function freshId() {
  last += 1;
  return `x${last}`;
}

/** A size as people write it. @param {number} bytes */
export function size(bytes) {
  const power = bytes < 1000 ? 0 : bytes < 999_500 ? 1 : 2;
  const value = bytes / 1000 ** power;
  const digits = { maximumFractionDigits: value < 10 ? 1 : 0 };
  return `${value.toLocaleString(undefined, digits)} ${["B", "kB", "MB"][power]}`;
}

/** Whether fingers point: then Enter is a newline, and nothing calls the keyboard. */
export const touch = matchMedia("(pointer: coarse)");
