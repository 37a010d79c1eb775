/**
 * What a transcript is made of. Items are never changed, only replaced, so that whoever shows them
 * sees by identity what is new. `key` stays the same from the first sign of an item to its record.
 */

import type { Action, Cost, FileRef, Progress, Question, Rating, RoundStatus } from "./wire";

interface Shown {
  key: string;
  /** The record it stands for; none while it is on its way. */
  seq?: number;
  /** Unix seconds, for display only. */
  at?: number;
}

export interface UserItem extends Shown {
  kind: "user";
  text: string;
  files: FileRef[];
  /** Said, but its round has not begun. */
  waits: boolean;
  /** A round began with it at once: something else may be said instead. */
  prompt?: boolean;
}

export interface BotItem extends Shown {
  kind: "bot";
  text: string;
  files: FileRef[];
  actions?: Action[];
  /** The round that says it, and its place therein; what else happens at that path stands with it. */
  round: number;
  path: string;
  /** It is being written, it is whole, or its end never came. */
  state: "streaming" | "whole" | "unfinished";
  rating?: Opinion;
}

/** What the user thinks of a message. */
export interface Opinion {
  rating: Rating;
  reason: string;
}

/** Something that a component of the app's own shows; `text` says the same without it. */
export interface ComponentItem extends Shown {
  kind: "component";
  name: string;
  data: unknown;
  text: string;
}

export interface Rejection {
  text: string;
  reason: string;
  command: string;
  /** The reason for other languages, docs/wire.md. */
  code?: string;
  values?: Record<string, string>;
}

export interface QuestionItem extends Shown {
  kind: "question";
  seq: number;
  text: string;
  question: Question;
  round: number;
  path: string;
  /** Unix seconds, by the server's clock. */
  deadline?: number;
  note: string;
  state: "open" | "answered" | "timeout" | "withdrawn";
  rejection?: Rejection;
}

/** Something the conversation says about itself. `reason` is the app's own words, if it has any. */
export interface NoticeItem extends Shown {
  kind: "notice";
  status: Exclude<RoundStatus, "done"> | "closed" | "expired" | "erased";
  reason: string;
  /** An id to tell the operator. */
  error: string;
}

/** A part of the bot's work, and the parts within it. Input and output are Markdown. */
export interface PartItem extends Shown {
  kind: "part";
  /** It says nothing by itself. */
  text: "";
  round: number;
  path: string;
  name: string;
  /** The app's own word for what it is. */
  sort: string;
  input: string;
  output: string;
  state: "running" | "done" | "failed" | "stopped";
  /** When it ended, in Unix seconds. */
  ended?: number;
  cost?: Cost;
  /** How far it is, while it runs. */
  progress?: Progress;
  parts: PartItem[];
}

export type Item = UserItem | BotItem | ComponentItem | QuestionItem | NoticeItem | PartItem;
