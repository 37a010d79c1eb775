/** The server's answers about the conversations of a chat's user. */

import { Threads } from "@parlour/client/threads";
import type { Chat } from "../chat";

const made = new WeakMap<Chat, Threads>();

export function requestsOf(chat: Chat): Threads {
  let requests = made.get(chat);
  if (!requests) {
    requests = new Threads({ base: chat.base, token: () => chat.client.connection.token });
    made.set(chat, requests);
  }
  return requests;
}

/** Gives the user a file to keep. */
export async function keep(
  chat: Chat,
  session: string,
  kind: "markdown" | "json",
  you: string,
): Promise<void> {
  const { name, content } = await requestsOf(chat).keep(session, kind, you);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
