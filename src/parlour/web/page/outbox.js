/**
 * Commands that may not have arrived: kept until they are acknowledged or refused, over lost
 * connections and reloads, and repeated under the same id. No DOM, no socket.
 */

/**
 * @typedef {object} Command
 * @property {string} id
 * @property {import("./connection.js").Frame} frame what goes over the wire, but for its session
 * @property {string} text how to show it until it is recorded
 * @property {import("./conversation.js").FileRef[]} files
 * @property {"sent" | "acknowledged" | "refused"} state
 * @property {string} [reason] why it was refused
 * @property {number} tries
 */

/** 128 random bits. `randomUUID` is missing where a page is not served over HTTPS. */
export function freshCommandId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  /** In the order they were given. @type {Map<string, Command>} */
  commands = new Map();

  #shelf;

  /** @param {import("./shelf.js").Shelf} shelf */
  constructor(shelf) {
    this.#shelf = shelf;
    for (const command of shelf.read("outbox") ?? []) this.commands.set(command.id, command);
  }

  /**
   * @param {import("./connection.js").Frame} frame
   * @param {{text?: string, files?: import("./conversation.js").FileRef[]}} [shown]
   * @returns {Command}
   */
  add(frame, { text = "", files = [] } = {}) {
    const id = freshCommandId();
    /** @type {Command} */
    const command = { id, frame: { ...frame, id }, text, files, state: "sent", tries: 0 };
    this.commands.set(id, command);
    this.#keep();
    return command;
  }

  /** @param {string} id */
  drop(id) {
    if (this.commands.delete(id)) this.#keep();
  }

  /**
   * @param {string} id
   * @param {"sent" | "acknowledged" | "refused"} state
   * @param {string} [reason]
   */
  mark(id, state, reason) {
    const command = this.commands.get(id);
    if (!command) return;
    command.state = state;
    command.reason = reason;
    this.#keep();
  }

  /** What has no answer yet. */
  get unanswered() {
    return [...this.commands.values()].filter((command) => command.state === "sent");
  }

  #keep() {
    const open = [...this.commands.values()].filter(({ state }) => state !== "acknowledged");
    this.#shelf.write("outbox", open.length ? open : null);
  }
}
