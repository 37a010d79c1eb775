/** This browser's earlier conversations, to go back to: ids, first words and times, no more. */

import { h } from "./dom.js";
import { inBrowser } from "./shelf.js";

const MOST = 30;
const LONGEST = 80;

/** @typedef {{id: string, title: string, at: number}} Visit */

/** @returns {Visit[]} newest first */
export function visits() {
  const kept = inBrowser().read("visits");
  return Array.isArray(kept) ? kept : [];
}

/** @param {string} id @param {string} title */
export function remember(id, title) {
  const words = title.replace(/\s+/g, " ").trim().slice(0, LONGEST);
  const others = visits().filter((visit) => visit.id !== id);
  inBrowser().write("visits", [{ id, title: words, at: Date.now() }, ...others].slice(0, MOST));
}

/** @param {string} id */
export function forget(id) {
  inBrowser().write("visits", visits().filter((visit) => visit.id !== id));
}

/**
 * Fills the menu: links, so that they open in other tabs too.
 *
 * @param {HTMLElement} menu
 * @param {string} current
 */
export function showVisits(menu, current) {
  const links = visits().map(({ id, title, at }) => {
    const here = id === current ? "page" : null;
    const style = /** @type {const} */ ({ dateStyle: "medium", timeStyle: "short" });
    const when = new Date(at).toLocaleString(undefined, style);
    return h("li", {}, h("a", { href: `?s=${encodeURIComponent(id)}`, "aria-current": here },
      h("span", {}, title || "Conversation"), h("span", { class: "help" }, when)));
  });
  const clear = () => {
    inBrowser().write("visits", null);
    showVisits(menu, current);
  };
  const list = links.length ? h("ul", {}, ...links) : h("p", { class: "help" }, "None yet.");
  const button = h("button", { type: "button", class: "quiet", onclick: clear }, "Clear this list");
  menu.replaceChildren(h("h2", {}, "Earlier conversations"), list, links.length ? button : "");
}
