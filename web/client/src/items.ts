/**
 * What a transcript is made of. Items are never changed, only replaced, so that whoever shows them
 * sees by identity what is new. `key` stays the same from the first sign of an item to its record.
 */

import type { FileRef, Question, RoundStatus } from "./wire";

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
}

export interface BotItem extends Shown {
  kind: "bot";
  text: string;
  files: FileRef[];
  /** The round that says it, and its place therein; what else happens at that path stands with it. */
  round: number;
  path: string;
  /** It is being written, it is whole, or its end never came. */
  state: "streaming" | "whole" | "unfinished";
}

export interface Rejection {
  text: string;
  reason: string;
  command: string;
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

export type Item = UserItem | BotItem | QuestionItem | NoticeItem;
