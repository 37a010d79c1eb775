/**
 * Two ways to a server: the straight one, and a detour for where something in between blocks it.
 * A straight pipe that is refused, hangs, is cut at once or carries nothing is given up for the
 * detour; on the detour the straight way is tried again now and then.
 */

import type { OpenPipe, Pipe, PipeListener } from "./pipe";

/** How long the straight way may be silent before the detour is tried beside it. */
const PATIENCE = 3_000;
/** A straight pipe that ends sooner was cut, and so often that it is meant. */
const SHORT = 5_000;
const MOST_CUTS = 2;
const FIRST_LOOK = 30_000;
const LONGEST_LOOK = 600_000;
const RESTART = 1012;
const CUT = 1006;
/** From here on the codes are the server's own words. */
const OWN = 4000;

export function withDetour(straight: OpenPipe, detour: OpenPipe): OpenPipe {
  const known: Known = { blocked: false, cuts: 0, look: FIRST_LOOK };
  return (listener) => new Journey(straight, detour, known, listener);
}

/** What is remembered from one pipe to the next. */
interface Known {
  blocked: boolean;
  cuts: number;
  /** How long until the straight way is looked at again. */
  look: number;
}

class Journey implements Pipe {
  #straight: OpenPipe;
  #detour: OpenPipe;
  #known: Known;
  #listener: PipeListener;
  /** What was sent before it was clear who hears it. */
  #sent: string[] = [];
  #greeted = false;
  #tried = new Set<Pipe>();
  #chosen: Pipe | null = null;
  #detoured = false;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(straight: OpenPipe, detour: OpenPipe, known: Known, listener: PipeListener) {
    this.#straight = straight;
    this.#detour = detour;
    this.#known = known;
    this.#listener = listener;
    if (known.blocked) {
      this.#takeDetour();
    } else {
      this.#try(straight, true);
      this.#timer = setTimeout(() => this.#takeDetour(), PATIENCE);
    }
  }

  send(message: string): void {
    if (this.#chosen) this.#chosen.send(message);
    else this.#sent.push(message);
  }

  close(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const pipe of this.#tried) pipe.close();
  }

  #takeDetour(): void {
    clearTimeout(this.#timer);
    if (this.#detoured || this.#chosen || this.#ended) return;
    this.#detoured = true;
    this.#try(this.#detour, false);
  }

  #try(way: OpenPipe, straight: boolean): void {
    const since = Date.now();
    const pipe: Pipe = way({
      opened: () => {
        if (this.#ended || this.#chosen) return;
        if (!this.#greeted) this.#listener.opened();
        this.#greeted = true;
        for (const message of this.#sent) pipe.send(message);
      },
      heard: (message) => {
        if (this.#ended) return;
        if (!this.#chosen) this.#choose(pipe, straight);
        if (this.#chosen === pipe) this.#listener.heard(message);
      },
      ended: (code) => {
        this.#tried.delete(pipe);
        if (this.#ended) return;
        if (this.#chosen === pipe) this.#lose(code, straight && Date.now() - since < SHORT);
        else if (!this.#chosen) this.#fail(code, straight);
      },
    });
    this.#tried.add(pipe);
  }

  #choose(pipe: Pipe, straight: boolean): void {
    clearTimeout(this.#timer);
    this.#chosen = pipe;
    for (const other of this.#tried) if (other !== pipe) other.close();
    this.#known.blocked = !straight;
    if (straight) this.#known.look = FIRST_LOOK;
    else this.#timer = setTimeout(() => this.#look(), this.#known.look);
  }

  /** A way that never was one. */
  #fail(code: number, straight: boolean): void {
    if (code >= OWN) this.#end(code);
    else if (straight) this.#takeDetour();
    if (!this.#tried.size) this.#end(code);
  }

  #lose(code: number, soon: boolean): void {
    this.#known.cuts = soon && code === CUT ? this.#known.cuts + 1 : 0;
    if (this.#known.cuts >= MOST_CUTS) {
      this.#known.blocked = true;
      this.#known.cuts = 0;
    }
    this.#end(code);
  }

  #end(code: number): void {
    if (this.#ended) return;
    this.close();
    this.#listener.ended(code);
  }

  /** Whether the straight way is free again: then this pipe ends, and the next one takes it. */
  #look(): void {
    this.#known.look = Math.min(2 * this.#known.look, LONGEST_LOOK);
    const again = () => {
      scout.close();
      clearTimeout(patience);
      if (!this.#ended) this.#timer = setTimeout(() => this.#look(), this.#known.look);
    };
    const scout = this.#straight({
      opened: () => scout.send(this.#sent[0] ?? ""),
      heard: () => {
        clearTimeout(patience);
        scout.close();
        if (this.#ended) return;
        this.#known.blocked = false;
        this.#end(RESTART);
      },
      ended: again,
    });
    const patience = setTimeout(again, PATIENCE);
  }
}
