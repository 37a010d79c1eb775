/**
 * A scroller that stays at its end while the reader is there, and leaves in peace who reads further
 * up.
 */

const NEAR = 24;
const GLIDE = 2_000;

export class Follow {
  #scroller: HTMLElement;
  #offer: (away: boolean) => void;
  #follows = true;
  /** Until when it is on its way to the end, which what is left of an earlier movement must not
   * stop; the reader's hand does. */
  #gliding = 0;
  #top = 0;
  #height = 0;
  #ended = new AbortController();
  #watch = new ResizeObserver(() => this.#keep());

  /** `offer` hears whether the reader is away from the end. */
  constructor(scroller: HTMLElement, content: HTMLElement, offer: (away: boolean) => void) {
    this.#scroller = scroller;
    this.#offer = offer;
    const { signal } = this.#ended;
    const on = (name: string, listener: (event: Event) => void) =>
      scroller.addEventListener(name, listener, { passive: true, signal });
    on("scroll", () => this.#scrolled());
    on("scrollend", () => this.#arrived());
    for (const name of ["wheel", "touchmove", "keydown"]) on(name, () => this.#take());
    this.#watch.observe(scroller);
    this.#watch.observe(content);
  }

  end(): void {
    this.#watch.disconnect();
    this.#ended.abort();
  }

  /** Whether the reader is at the end. */
  get follows(): boolean {
    return this.#follows;
  }

  /** The reader opens something: what they look at stays where it is. */
  stay(): void {
    this.#follows = false;
  }

  toEnd(gently = false): void {
    this.#follows = true;
    const calm = gently && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    const behavior = calm ? "smooth" : "instant";
    this.#gliding = calm ? performance.now() + GLIDE : 0;
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior });
  }

  /** Shows a place, wherever it is. */
  show(element: HTMLElement): void {
    this.#follows = false;
    element.scrollIntoView({ block: "center" });
  }

  /** Shows something new from its beginning, where it is longer than the screen. */
  reveal(element: HTMLElement): void {
    if (!this.#follows || element.clientHeight < this.#scroller.clientHeight - NEAR) return;
    this.#follows = false;
    element.scrollIntoView();
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    // what grows never moves the view up, and what shrinks is known by its height: this was a hand
    const up = !this.#glides && scrollTop < this.#top - 1 && scrollHeight >= this.#height;
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#follows = true;
    else if (up) this.#follows = false;
    this.#note();
  }

  get #glides(): boolean {
    return performance.now() < this.#gliding;
  }

  #arrived(): void {
    if (this.#glides) this.#keep();
  }

  /** The reader takes the view in hand. */
  #take(): void {
    this.#gliding = 0;
  }

  #keep(): void {
    if (this.#follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#note();
  }

  #note(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#top = scrollTop;
    this.#height = scrollHeight;
    this.#offer(!this.#follows && scrollHeight - scrollTop - clientHeight >= NEAR);
  }
}
