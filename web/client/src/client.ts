/** A user's connection to one server, and the conversations that go over it. */

import { Connection, type ConnectionState } from "./connection";
import { type Beginning, Conversation } from "./conversation";
import type { OpenPipe } from "./pipe";
import type { Shelf } from "./shelf";
import type { ClientFrame, Limits, ServerFrame } from "./wire";

export interface ClientOptions {
  pipe: OpenPipe;
  /** Where things of one session are kept, and with "" those of none. */
  shelf: (session: string) => Shelf;
}

export class Client {
  readonly connection: Connection;
  limits: Limits = {};
  /** Who the server takes us for. */
  user = "";

  #conversations = new Set<Conversation>();
  #listeners = new Set<() => void>();
  #shelf: (session: string) => Shelf;

  constructor({ pipe, shelf }: ClientOptions) {
    this.#shelf = shelf;
    this.connection = new Connection(pipe, {
      took: (frame) => this.#take(frame),
      turned: (state) => this.#turn(state),
    });
    this.connection.token = String(shelf("").read("token") ?? "");
  }

  /** Tells of every change; what it looks like is the listener's business. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Takes part in a session; without one, in a new one. */
  enter(session = "", beginning: Beginning = {}): Conversation {
    const around = {
      send: (...frames: ClientFrame[]) => this.connection.send(...frames),
      changed: () => this.#changed(),
      shelf: this.#shelf,
    };
    const conversation = new Conversation(session, around, beginning);
    this.#conversations.add(conversation);
    if (this.connection.state === "ready") conversation.enter();
    return conversation;
  }

  leave(conversation: Conversation): void {
    if (this.#conversations.delete(conversation)) conversation.leave();
  }

  /** Brings keys of the user's; an empty one is forgotten. Each greeting brings all again. */
  bring(env: Record<string, string>): void {
    this.connection.env = { ...this.connection.env, ...env };
    this.connection.send({ t: "keys", env });
  }

  #turn(state: ConnectionState): void {
    for (const conversation of this.#conversations) {
      if (state !== "ready") conversation.pause();
      if (state === "ended") conversation.trouble ??= { code: "unsupported_version", message: "" };
    }
    this.#changed();
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case "hello":
        this.limits = frame.limits ?? {};
        this.user = frame.user;
        this.#shelf("").write("token", frame.resume ?? null);
        for (const conversation of this.#conversations) conversation.enter();
        break;
      case "pong":
      case "keys":
        return;
      default:
        for (const conversation of this.#conversations) {
          if (concerns(frame, conversation)) conversation.take(frame);
        }
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** A session that is being opened is known by the id it is asked for under. */
function concerns(frame: { session?: string; id?: string }, { session, opening }: Conversation) {
  if (session) return frame.session === session || frame.session === undefined;
  return !!opening && frame.id === opening;
}
