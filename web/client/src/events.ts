/** Server-sent events out of the pieces that a response arrives in (WHATWG HTML §9.2). */

export interface ServerSentEvent {
  data: string;
  /** The newest id, which may be an earlier event's. */
  id: string;
}

export class EventParser {
  #rest = "";
  #data: string[] = [];
  #id = "";

  /** What `piece` completes. */
  take(piece: string): ServerSentEvent[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    const events: ServerSentEvent[] = [];
    for (const line of lines) {
      if (line) this.#read(line);
      else if (this.#data.length) {
        events.push({ data: this.#data.join("\n"), id: this.#id });
        this.#data = [];
      }
    }
    return events;
  }

  #read(line: string): void {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (name === "data") this.#data.push(value ?? "");
    else if (name === "id") this.#id = value ?? "";
  }
}
