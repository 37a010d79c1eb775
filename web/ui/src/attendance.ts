/** After each drawing: new questions are shown and get the focus, rejected words are given back. */

import type { Conversation, QuestionItem } from "@parlour/client";
import { useEffect, useRef } from "preact/hooks";
import type { Chat } from "./chat";
import type { ComposerHandle } from "./composer";
import { Focus } from "./focus";
import type { Follow } from "./follow";

interface Places {
  frame: { current: HTMLElement | null };
  composer: { current: ComposerHandle | null };
  follow: { current: Follow | null };
}

export function useAttendance(chat: Chat, { frame, composer, follow }: Places): void {
  const attendant = useRef<Attendant>(null);
  useEffect(() => {
    const root = frame.current?.getRootNode();
    if (!(root instanceof ShadowRoot)) return;
    attendant.current ??= new Attendant(root, chat.standalone);
    attendant.current.attend(chat.conversation, composer.current, follow.current);
  });
}

class Attendant {
  #root: ShadowRoot;
  #focus: Focus;
  #conversation: Conversation | null = null;
  /** Numbers of questions that were shown already. */
  #shown = new Set<number>();
  /** Commands whose rejected words were given back already. */
  #returned = new Set<string>();

  constructor(root: ShadowRoot, standalone: boolean) {
    this.#root = root;
    this.#focus = new Focus(root, standalone);
  }

  attend(conversation: Conversation, composer: ComposerHandle | null, follow: Follow | null): void {
    const field = composer?.field ?? null;
    if (conversation.transcript.live) {
      if (conversation !== this.#conversation) this.#begin(conversation, field);
      for (const question of conversation.transcript.questions) {
        this.#giveBack(question, conversation, composer);
        this.#show(question, field, follow);
      }
    }
    this.#focus.keep(field);
  }

  #begin(conversation: Conversation, field: HTMLTextAreaElement | null): void {
    this.#conversation = conversation;
    this.#shown.clear();
    this.#returned.clear();
    if (this.#focus.may(field)) field?.focus({ preventScroll: true });
  }

  /** What was typed as an answer and was none goes back to where it was typed. */
  #giveBack(
    { rejection }: QuestionItem,
    { sent }: Conversation,
    composer: ComposerHandle | null,
  ): void {
    if (!rejection || this.#returned.has(rejection.command)) return;
    this.#returned.add(rejection.command);
    const typed = sent.get(rejection.command) === "say";
    if (typed && composer?.empty) composer.giveBack(rejection.text);
  }

  #show({ seq }: QuestionItem, field: HTMLTextAreaElement | null, follow: Follow | null): void {
    // what has come since the last drawing has no form yet
    const form = this.#root.querySelector<HTMLElement>(`form[data-question="${seq}"]`);
    if (!form || this.#shown.has(seq)) return;
    this.#shown.add(seq);
    const turn = form.closest<HTMLElement>(".turn");
    if (turn) follow?.reveal(turn);
    if (!this.#focus.may(field)) return;
    const controls = "input, textarea, select, button:not([disabled])";
    form.querySelector<HTMLElement>(controls)?.focus({ preventScroll: true });
  }
}
