/**
 * Who looks elsewhere hears of it: a mark in the tab's title and in the transcript where the new
 * begins, and, for those who asked for it, a notification when an answer is there or a question.
 */

import type { Conversation, Item } from "@parlour/client";
import type { Chat } from "./chat";

export interface Words {
  hasAnswered: string;
  needsYou: string;
}

export class Attention {
  /** The first item that came while nobody looked. */
  unreadFrom = "";

  #chat: Chat;
  #title = document.title;
  /** Whether what was there at the beginning has been counted; it is not new. */
  #known = false;
  #seen = 0;
  #told = 0;
  #wasWorking = false;
  #of: unknown;
  #words: Words | null = null;

  constructor(chat: Chat) {
    this.#chat = chat;
  }

  get notifies(): boolean {
    return allowed() === "granted" && this.#chat.browser.read("notify") === true;
  }

  /** Whether it could be done. The browser asks the user, once. */
  async notify(on: boolean): Promise<boolean> {
    if (on && allowed() === "default") await Notification.requestPermission();
    const may = allowed() === "granted";
    this.#chat.browser.write("notify", on && may ? true : null);
    return !on || may;
  }

  /** Looks at what is there now. */
  notice(words: Words): void {
    this.#words = words;
    const { transcript } = this.#chat.conversation;
    if (this.#of !== this.#chat.conversation) this.#begin();
    if (!transcript.live) return;
    const items = transcript.items.filter(({ kind }) => kind !== "user");
    if (!document.hidden || !this.#known) {
      this.#known = true;
      this.#seen = items.length;
      if (!document.hidden) this.#chat.watch.see(this.#chat.conversation);
    } else if (items.length > this.#seen) {
      this.unreadFrom ||= items[this.#seen]?.key ?? "";
    }
    const elsewhere = this.#chat.watch.unread.size > 0;
    if (this.#chat.standalone) this.#mark(items.length > this.#seen || elsewhere);
    const asked = transcript.questions.length;
    const working = transcript.round > 0 && !asked;
    if (this.#wasWorking && !working && document.hidden && this.#told < items.length) {
      this.#told = items.length;
      this.#tell(asked ? words.needsYou : words.hasAnswered, items.at(-1));
    }
    this.#wasWorking = working;
  }

  /** Another conversation than the one that is shown is done, or asks something. */
  elsewhere({ transcript, session }: Conversation): void {
    const words = transcript.questions.length ? this.#words?.needsYou : this.#words?.hasAnswered;
    const last = transcript.items.filter(({ kind }) => kind !== "user").at(-1);
    if (words && document.hidden) this.#tell(words, last, session);
  }

  /** The user writes: what was new is known now. */
  settle(): void {
    this.unreadFrom = "";
  }

  #begin(): void {
    this.#of = this.#chat.conversation;
    this.#known = false;
    this.#told = 0;
    this.#wasWorking = false;
    this.unreadFrom = "";
  }

  #mark(unread: boolean): void {
    const title = unread ? `● ${this.#title}` : this.#title;
    if (document.title !== title) document.title = title;
  }

  #tell(words: string, item: Item | undefined, tag = this.#chat.conversation.session): void {
    if (!this.notifies) return;
    const text = item && item.kind !== "notice" ? item.text.slice(0, 200) : "";
    try {
      const notification = new Notification(words, { body: text, tag });
      notification.onclick = () => window.focus();
    } catch {
      // some phones only let a service worker notify
    }
  }
}

const allowed = () => ("Notification" in window ? Notification.permission : "denied");
