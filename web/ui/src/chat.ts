/**
 * One chat on a page: where its server is, which conversation is shown, what this browser and this
 * tab remember of it. What it looks like it does not know.
 */

import {
  type Beginning,
  Client,
  type Conversation,
  fetched,
  fetchOffer,
  type Key,
  type Offer,
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
  /** What the app offers; null until it is known. */
  offer: Offer | null = null;

  editing: Editing | null = null;
  /** What the server lets users do besides talking, as far as it has said so. */
  readonly may = new Set<string>();
  /** What is to be shown of the conversation once it is there: what comes after this record. */
  reveal = 0;

  #prefix: string;
  #listeners = new Set<() => void>();
  /** Whose offer was asked for last; null: nobody's yet. */
  #asked: string | null = null;

  constructor({ base, standalone }: ChatOptions) {
    this.base = base;
    this.standalone = standalone;
    this.#prefix = `parlour:${base.host === location.host ? "" : base.host}${base.pathname}:`;
    this.browser = storageShelf(() => localStorage, this.#prefix);
    this.watch = new Watch(this, this.#prefix);
    this.client = new Client({
      pipe: withDetour(
        webSocket(socketAddress(base)),
        fetched(async () => {
          const { overHttp } = await import("@parlour/client/http");
          return overHttp(base, { hidden: () => document.hidden });
        }),
      ),
      shelf: (id) => this.#kept(id),
    });
    this.client.connection.env = this.#keys;
    this.conversation = this.client.enter(this.#remembered(), this.#beginning());
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
    if (session && session === this.conversation.session) return;
    this.#show(session, this.conversation.transcript.profile);
    this.reveal = reveal;
    this.#remember(session, "push");
    this.#changed();
  }

  /** Begins anew with another of the app's profiles; where nothing was said, in the same place. */
  choose(profile: string): void {
    const { conversation } = this;
    const begun = conversation.transcript.items.some(({ kind }) => kind === "user");
    if (!begun) conversation.close();
    this.#show("", profile);
    this.#remember("", begun ? "push" : "replace");
    this.#changed();
    void this.#ask(profile);
  }

  /** What a new conversation begins with: what was set last in this browser holds on. */
  #beginning(profile = ""): Beginning {
    const settings = this.browser.read("settings");
    return { ...(profile ? { profile } : {}), ...(settings ? { settings } : {}) };
  }

  /** Sets what the app lets users set, here and in the next conversations; "" or the problem. */
  async configure(settings: unknown): Promise<string> {
    const problem = await this.conversation.configure(settings);
    if (!problem) this.browser.write("settings", settings);
    return problem;
  }

  // -- keys -------------------------------------------------------------------------------------

  get #keys(): Record<string, string> {
    return (this.browser.read("keys") as Record<string, string> | null) ?? {};
  }

  /** Whether the user has brought this key. */
  has({ name }: Key): boolean {
    return !!this.#keys[name];
  }

  /** What the app cannot do without and the user has not brought. */
  get missingKeys(): Key[] {
    const asked = this.offer?.keys ?? [];
    return asked.filter((key) => key.required !== false && !this.has(key));
  }

  /** Keeps keys in this browser and brings them to the server; an empty one is forgotten. */
  bring(env: Record<string, string>): void {
    const kept = Object.entries({ ...this.#keys, ...env }).filter(([, value]) => value);
    this.browser.write("keys", kept.length ? Object.fromEntries(kept) : null);
    this.client.bring(env);
    this.#changed();
  }

  async #ask(profile: string): Promise<void> {
    this.#asked = profile;
    const offer = await fetchOffer(this.base, this.client.connection.token, profile);
    if (!offer || this.#asked !== profile) return;
    this.offer = offer;
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

  #show(session: string, profile = ""): void {
    if (!this.watch.keep(this.conversation)) this.client.leave(this.conversation);
    this.watch.show(session);
    this.conversation = this.client.enter(session, this.#beginning(profile));
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
    if (this.standalone && this.#asked === null) void this.#ask("");
    return () => {
      end.abort();
      this.client.connection.stop();
    };
  }

  #changed(): void {
    const { session, transcript } = this.conversation;
    const known = this.client.user || transcript.place;
    if (known && this.#asked !== transcript.profile && (transcript.place || this.#asked === null)) {
      void this.#ask(transcript.profile);
    }
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
