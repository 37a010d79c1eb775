/**
 * A place in the browser's storage that belongs to one app (its path) and, if given, one session.
 * Storage may be full or forbidden; then nothing is kept and nothing breaks.
 */

export class Shelf {
  #storage;
  #prefix;

  /**
   * @param {() => Storage} storage asked for late, because asking may throw
   * @param {string} [session]
   */
  constructor(storage, session = "") {
    this.#storage = storage;
    this.#prefix = `parlour:${location.pathname}:${session ? `${session}:` : ""}`;
  }

  /** @param {string} name */
  read(name) {
    try {
      return JSON.parse(this.#storage().getItem(this.#prefix + name) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} name @param {unknown} value null forgets it */
  write(name, value) {
    try {
      if (value === null) this.#storage().removeItem(this.#prefix + name);
      else this.#storage().setItem(this.#prefix + name, JSON.stringify(value));
    } catch {
      // what cannot be kept is at least on the screen
    }
  }
}

/** This tab's, gone with it. */
export const inTab = (session = "") => new Shelf(() => sessionStorage, session);

/** This browser's. */
export const inBrowser = () => new Shelf(() => localStorage);
