/**
 * Where the keyboard's focus goes when what had it is gone, or when a question appears. It is never
 * taken from the page around the chat, and on touch screens never moved, for the keyboard's sake.
 */

import { isTouch } from "./surroundings";

export class Focus {
  #root: ShadowRoot;
  /** Whether the page is the chat's own, so that it may have the focus from the beginning. */
  #standalone: boolean;
  #last: HTMLElement | null = null;

  constructor(root: ShadowRoot, standalone: boolean) {
    this.#root = root;
    this.#standalone = standalone;
    root.addEventListener("focusin", ({ target }) => {
      this.#last = target instanceof HTMLElement ? target : null;
    });
  }

  /** Whether moving it disturbs nobody: nothing has it, or a composer in which nothing stands. */
  may(composer: HTMLTextAreaElement | null): boolean {
    if (isTouch()) return false;
    const active = this.#root.activeElement;
    if (active) return active === composer && !composer.value;
    return adrift() && (this.#standalone || !!this.#last);
  }

  /** Controls that were answered are gone, or were only disabled while the answer was under way. */
  keep(composer: HTMLTextAreaElement | null): void {
    if (!this.#last || isTouch() || this.#root.activeElement || !adrift()) return;
    if (!this.#last.isConnected) composer?.focus({ preventScroll: true });
    else if (this.#last.closest(".question") && !this.#last.matches(":disabled"))
      this.#last.focus();
  }
}

const adrift = () => document.activeElement === document.body || !document.activeElement;
