/**
 * What goes on in the user's other conversations: those that were left at work are followed on
 * until they are done or ask something, and what has been seen of each is remembered. Other tabs
 * hear of changes.
 */

import type { Conversation } from "@parlour/client";
import type { Chat } from "./chat";

const FOLLOWED = 8;
const REMEMBERED = 500;

/** What has changed, for lists: a conversation is gone, is called something else, or anything. */
export interface Change {
  gone?: string;
  title?: { session: string; title: string };
}

type Seen = Record<string, number>;

export class Watch {
  /** Conversations of this tab in which something came while another one was shown. */
  readonly unread = new Set<string>();

  #chat: Chat;
  #followed = new Set<Conversation>();
  #channel: BroadcastChannel | null = null;
  #listeners = new Set<(change: Change) => void>();
  #noted = "";

  constructor(chat: Chat, name: string) {
    this.#chat = chat;
    if (!("BroadcastChannel" in window)) return;
    this.#channel = new BroadcastChannel(`${name}threads`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
  }

  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Something of the user's conversations has changed: all lists are told, in other tabs too. */
  tell(change: Change = {}): void {
    this.#channel?.postMessage(change);
    this.#hear(change);
  }

  /** Another one is shown from now on. Whether this one is followed on, because it is at work. */
  keep(conversation: Conversation): boolean {
    const { session, transcript } = conversation;
    const works = transcript.round > 0 && !transcript.questions.length && !transcript.closed;
    if (!session || !works || this.#followed.size >= FOLLOWED) return false;
    this.#followed.add(conversation);
    return true;
  }

  /** This one is shown from now on. */
  show(session: string): void {
    this.unread.delete(session);
    for (const conversation of this.#followed) {
      if (conversation.session === session) this.#leave(conversation);
    }
  }

  /** Looks at what is there now. */
  look(): void {
    for (const conversation of this.#followed) {
      const { transcript, session, trouble } = conversation;
      if (!trouble && (!transcript.live || (transcript.round && !transcript.questions.length)))
        continue;
      this.#leave(conversation);
      if (trouble || transcript.closed) continue;
      this.unread.add(session);
      this.#chat.attention.elsewhere(conversation);
      this.tell();
    }
  }

  /** The user sees the conversation as it is now. */
  see({ session, transcript }: Conversation): void {
    const { place, round, questions } = transcript;
    if (!session || !place || (round && !questions.length)) return;
    const note = `${session} ${place}`;
    if (note === this.#noted) return;
    this.#noted = note;
    const seen = Object.entries(this.#seen).filter(([other]) => other !== session);
    const kept = [...seen, [session, place] as const].slice(-REMEMBERED);
    this.#chat.browser.write("seen", Object.fromEntries(kept));
    this.tell();
  }

  /** The newest record that was seen of each conversation. */
  get #seen(): Seen {
    const kept = this.#chat.browser.read("seen");
    return kept && typeof kept === "object" ? (kept as Seen) : {};
  }

  /** Whether something came that was not seen here. `since` tells apart what is older than that. */
  marks(): (thread: { session: string; told?: number; updated: number }) => boolean {
    const seen = this.#seen;
    let since = this.#chat.browser.read("since");
    if (typeof since !== "number") {
      since = Date.now() / 1000;
      this.#chat.browser.write("since", since);
    }
    return ({ session, told = 0, updated }) =>
      session in seen ? told > (seen[session] ?? 0) : told > 0 && updated > Number(since);
  }

  #leave(conversation: Conversation): void {
    this.#followed.delete(conversation);
    this.#chat.client.leave(conversation);
  }

  #hear(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}
