/** Branches of the conversation that is shown: which there are, and how one is made. */

import type { FileRef } from "@parlour/client";
import { freshId } from "@parlour/client";
import { Family } from "@parlour/client/branches";
import type { Chat } from "../chat";
import { requestsOf } from "./requests";

interface Known {
  session: string;
  family: Family | null;
  coming: Promise<void>;
}

const known = new WeakMap<Chat, Known>();

/** The branches of what is shown; null until they are known. */
export function familyOf(chat: Chat): Family | null {
  const found = known.get(chat);
  return found?.session === chat.conversation.session ? found.family : null;
}

/** Fetches them, once for each conversation, or `anew`. */
export function learnFamily(chat: Chat, anew = false): Promise<void> {
  const { session } = chat.conversation;
  const found = known.get(chat);
  const own = found?.session === session ? found : undefined;
  if (!session) return Promise.resolve();
  if (own && !anew) return own.coming;
  const coming = fetchFamily(chat, session);
  known.set(chat, { session, family: own?.family ?? null, coming });
  return coming;
}

async function fetchFamily(chat: Chat, session: string): Promise<void> {
  try {
    const { branches, may } = await requestsOf(chat).branches(session);
    chat.allow(may);
    const found = known.get(chat);
    if (found?.session === session) found.family = new Family(branches);
  } catch {
    // without a connection there is nothing to choose from; the next change tries again
  }
}

/** Something else is said instead of the message at record `before`, or the same again. */
export async function sayInstead(
  chat: Chat,
  { id = freshId(), before }: { id?: string; before: number },
  said?: { text: string; files: FileRef[] },
): Promise<void> {
  const { session } = chat.conversation;
  const request = said && { text: said.text, files: said.files.map(({ id: file }) => file) };
  const branch = await requestsOf(chat).branch(session, { id, before, ...request });
  chat.watch.tell();
  // the user may have gone elsewhere meanwhile
  if (chat.conversation.session === session) chat.enter(branch.session);
}
