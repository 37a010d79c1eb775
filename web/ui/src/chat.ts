/**
 * One chat on a page: where its server is, which conversation is shown, what this browser and this
 * tab remember of it. What it looks like it does not know.
 */

import {
  Client,
  type Conversation,
  overHttp,
  type Shelf,
  storageShelf,
  webSocket,
  withDetour,
} from "@parlour/client";
import { Attention } from "./attention";
import { Watch } from "./watch";

/** A message of the user's in whose place something else is going to be said. */
export interface Editing {
  /** The branch's id for the server: the same however often it is tried. */
  id: string;
  before: number;
}

export interface ChatOptions {
  /** The server's address, with its path prefix. */
  base: URL;
  /** Whether the page is ours: then the conversation stands in its address. */
  standalone: boolean;
}

export class Chat {
  readonly base: URL;
  readonly standalone: boolean;
  readonly client: Client;
  conversation: Conversation;
  /** What lasts as long as this browser keeps it. */
  readonly browser: Shelf;
  readonly watch: Watch;
  readonly attention: Attention;

  editing: Editing | null = null;
  /** What the server lets users do besides talking, as far as it has said so. */
  readonly may = new Set<string>();
  /** What is to be shown of the conversation once it is there: what comes after this record. */
  reveal = 0;

  #prefix: string;
  #listeners = new Set<() => void>();

  constructor({ base, standalone }: ChatOptions) {
    this.base = base;
    this.standalone = standalone;
    this.#prefix = `parlour:${base.host === location.host ? "" : base.host}${base.pathname}:`;
    this.browser = storageShelf(() => localStorage, this.#prefix);
    this.watch = new Watch(this, this.#prefix);
    this.client = new Client({
      pipe: withDetour(
        webSocket(socketAddress(base)),
        overHttp(base, { hidden: () => document.hidden }),
      ),
      shelf: (id) => this.#kept(id),
    });
    this.conversation = this.client.enter(this.#remembered());
    this.attention = new Attention(this);
    this.client.subscribe(() => this.#changed());
  }

  /** What lasts as long as this tab; a session's own, or with "" what belongs to none. */
  tab(session: string): Shelf {
    return storageShelf(() => sessionStorage, this.#prefix + (session && `${session}:`));
  }

  /** What the client keeps: who the user is as long as the browser can, all else with the tab. */
  #kept(session: string): Shelf {
    const tab = this.tab(session);
    const place = (name: string) => (name === "token" ? this.browser : tab);
    return {
      read: (name) => place(name).read(name),
      write: (name, value) => place(name).write(name, value),
    };
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Shows another conversation, from what comes after record `reveal`; without an id, a new one. */
  enter(session = "", reveal = 0): void {
    this.#show(session);
    this.reveal = reveal;
    this.#remember(session, "push");
    this.#changed();
  }

  /** What is written next is said instead of an earlier message; null: it is not. */
  edit(editing: Editing | null): void {
    this.editing = editing;
    this.#changed();
  }

  allow(features: string[]): void {
    for (const feature of features) this.may.add(feature);
  }

  #show(session: string): void {
    if (!this.watch.keep(this.conversation)) this.client.leave(this.conversation);
    this.watch.show(session);
    this.conversation = this.client.enter(session);
    this.editing = null;
    this.reveal = 0;
  }

  /** The address under which a conversation can be opened in a tab of its own. */
  href(session = ""): string {
    const address = this.standalone
      ? new URL(location.pathname, location.href)
      : new URL(this.base);
    if (session) address.searchParams.set("s", session);
    return address.href;
  }

  /** Begins, and minds the world until what is returned is called. */
  start(): () => void {
    const wake = () => this.client.connection.wake();
    const unhide = () => !document.hidden && wake();
    const turn = () => {
      const session = this.#remembered();
      if (session === this.conversation.session) return;
      this.#show(session);
      this.#changed();
    };
    const end = new AbortController();
    const { signal } = end;
    // "offline" may not concern the way to this server, so it is asked whether it lives
    for (const name of ["online", "offline", "pageshow"]) addEventListener(name, wake, { signal });
    if (this.standalone) addEventListener("popstate", turn, { signal });
    document.addEventListener("visibilitychange", unhide, { signal });
    this.client.connection.start();
    return () => {
      end.abort();
      this.client.connection.stop();
    };
  }

  #changed(): void {
    const { session } = this.conversation;
    if (session && session !== this.#remembered()) this.#remember(session, "replace");
    this.watch.look();
    for (const listener of this.#listeners) listener();
  }

  /** The conversation that a reload comes back to. */
  #remembered(): string {
    if (this.standalone) return new URL(location.href).searchParams.get("s") ?? "";
    return String(this.tab("").read("session") ?? "");
  }

  #remember(session: string, way: "push" | "replace"): void {
    if (!this.standalone) this.tab("").write("session", session || null);
    else if (way === "push") history.pushState(null, "", this.href(session));
    else history.replaceState(null, "", this.href(session));
  }
}

function socketAddress(base: URL): string {
  const address = new URL("ws", base);
  address.protocol = base.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}
