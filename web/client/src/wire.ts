/** What travels, as types: version 1 of the wire (docs/wire.md). Nothing here does anything. */

export const VERSION = 1;

export interface FileRef {
  id: string;
  name: string;
  type?: string;
  size?: number;
  /** What it shows, in words. */
  alt?: string;
  /** In pixels, so that its place is kept while it loads. */
  width?: number;
  height?: number;
  /** How it is shown where its type alone does not say so. */
  view?: "table" | "frame";
  /** How many rows a table has, of which the file may hold the first. */
  rows?: number;
}

/** A button under a message: pressed, it sends the signal. */
export interface Action {
  label: string;
  signal: string;
  data?: unknown;
}

export interface Cost {
  input_tokens?: number;
  output_tokens?: number;
  amount?: number;
  currency?: string;
}

export interface Limits {
  message_bytes?: number;
  upload_bytes?: number;
  files_per_message?: number;
}

// -- from the client --------------------------------------------------------------------------

/** A command before it knows its session and its id. */
export type Command =
  | { t: "say"; text: string; files?: string[] }
  | { t: "answer"; question: number; value?: unknown; text?: string; files?: string[] }
  | { t: "stop"; round?: number }
  | { t: "signal"; name: string; data?: unknown }
  | { t: "rate"; message: number; rating: Rating; reason?: string }
  | { t: "configure"; settings: unknown }
  | { t: "close" };

/** What the user thinks of a message; "" takes it back. */
export type Rating = "up" | "down" | "";

export type ClientFrame =
  | { t: "hello"; versions: number[]; resume?: string; env?: Record<string, string> }
  | { t: "open"; id: string; profile?: string; settings?: unknown }
  | { t: "keys"; env: Record<string, string> }
  | { t: "attach"; session: string; after: number }
  | { t: "detach"; session: string }
  | (Command & { session: string; id: string })
  | { t: "ping" };

// -- from the server --------------------------------------------------------------------------

export interface Hello {
  t: "hello";
  version: number;
  user: string;
  resume?: string;
  limits?: Limits;
}

/** Durable records: the i-th is number `after + 1 + i`; null stands for one not shown to users. */
export interface Records {
  t: "records";
  session: string;
  after: number;
  at?: number;
  records: (Event | null)[];
}

export interface Live {
  t: "live";
  session: string;
}

export interface Delta {
  t: "delta";
  session: string;
  round: number;
  path: string;
  offset: number;
  text: string;
}

/** A piece of what comes out of a part of the work. */
export interface PartDelta extends Omit<Delta, "t"> {
  t: "part";
}

/** How far the round is, or with a path a part of it. */
export interface Progress {
  t: "progress";
  session: string;
  round: number;
  path?: string;
  done: number;
  total?: number;
  text?: string;
}

export interface Ack {
  t: "ack";
  session: string;
  id: string;
  seq: number;
}

export interface Refused {
  t: "refused";
  session?: string;
  id?: string;
  code: string;
  message: string;
  retry_after?: number;
}

/** The names of the user's keys that the server knows. */
export interface Keys {
  t: "keys";
  names: string[];
}

export type ServerFrame =
  | Hello
  | Records
  | Live
  | Delta
  | PartDelta
  | Progress
  | Ack
  | Refused
  | Keys
  | { t: "pong" };

// -- events -----------------------------------------------------------------------------------

export interface Option {
  value: unknown;
  label: string;
  description?: string;
}

/** What is asked for, by its `kind`; any may have a `default`. */
export type Question = { default?: unknown } & (
  | {
      kind: "text";
      min_length?: number;
      max_length?: number;
      pattern?: string;
      multiline?: boolean;
    }
  | { kind: "number"; integer?: boolean; minimum?: number; maximum?: number }
  | { kind: "confirm"; yes?: string; no?: string }
  | { kind: "date"; minimum?: string; maximum?: string }
  | { kind: "choice"; options: Option[]; many?: boolean; minimum?: number; maximum?: number }
  | { kind: "file"; accept?: string[]; minimum?: number; maximum?: number; max_bytes?: number }
  | { kind: "form"; schema?: Record<string, unknown> }
);

export type RoundStatus = "done" | "failed" | "stopped" | "diverged";

/** Fields with their default value are left out, so nearly all of them may be missing. */
export type Event =
  | { type: "SessionOpened"; profile?: string }
  | { type: "SettingsChanged"; values: unknown }
  | {
      type: "FeedbackGiven";
      message: number;
      rating?: Rating;
      reason?: string;
      command?: string;
    }
  | { type: "ComponentShown"; path: string; name: string; data?: unknown; text?: string }
  | {
      type: "MessageAdded";
      role: "user" | "bot";
      text?: string;
      files?: FileRef[];
      path?: string;
      command?: string;
      actions?: Action[];
    }
  | { type: "PartBegun"; path: string; name: string; kind?: string; input?: string }
  | {
      type: "PartEnded";
      path: string;
      status?: "done" | "failed" | "stopped";
      output?: string;
      cost?: Cost;
    }
  | { type: "RoundStarted"; round: number; cause?: string; source?: number }
  | {
      type: "RoundFinished";
      round: number;
      status: RoundStatus;
      reason?: string;
      error?: string;
      command?: string;
    }
  | { type: "MessagesTaken"; path?: string; sources?: number[] }
  | {
      type: "QuestionAsked";
      path?: string;
      text?: string;
      question: Question;
      deadline?: number;
      note?: string;
    }
  | {
      type: "QuestionAnswered";
      question: number;
      value?: unknown;
      text?: string;
      files?: FileRef[];
      command?: string;
    }
  | {
      type: "AnswerRejected";
      question: number;
      text?: string;
      reason?: string;
      command?: string;
      code?: string;
      values?: Record<string, string>;
    }
  | { type: "QuestionClosed"; question: number; reason?: "timeout" | "withdrawn" }
  | { type: "TitleSet"; title?: string; command?: string }
  | { type: "SessionClosed"; reason?: "closed" | "expired" | "erased" };

export type EventOf<T extends Event["type"]> = Extract<Event, { type: T }>;
