/** Files on their way to the server, and those that are there: what a message may take with it. */

import { type FileRef, type Upload as Transfer, UploadFailed, upload } from "@parlour/client";
import type { Chat } from "./chat";

/** Why a file cannot go: the name of its text and what is filled in. */
export type Problem =
  | { name: "fileTooLarge"; limit: number }
  | { name: "oneFileFits" }
  | { name: "filesFit"; count: number }
  | { name: "wrongKind"; kinds: string }
  | { name: "connectionLost" }
  | { name: "serverAnswered"; status: number; message: string };

export interface Parcel {
  key: number;
  /** null: it came from a draft and is up already. */
  file: File | null;
  name: string;
  size: number;
  /** What the server calls it, once it is there. */
  ref: FileRef | null;
  problem: Problem | null;
  /** How much of it is up, from 0 to 1. */
  share: number;
}

export interface TrayOptions {
  chat: Chat;
  /** How many files may be in it. */
  most?: number;
  accept?: string[];
  maxBytes?: number;
}

export class Tray {
  parcels: Parcel[] = [];
  changed = () => {};

  #options: TrayOptions;
  #transfers = new Map<number, Transfer>();
  #last = 0;

  constructor(options: TrayOptions) {
    this.#options = options;
  }

  get most(): number {
    const { chat, most = Number.POSITIVE_INFINITY } = this.#options;
    return Math.min(most, chat.client.limits.files_per_message ?? Number.POSITIVE_INFINITY);
  }

  /** The files that are up. */
  get files(): FileRef[] {
    return this.parcels.flatMap(({ ref }) => ref ?? []);
  }

  /** Whether something is still on its way. */
  get busy(): boolean {
    return this.parcels.some(({ ref, problem }) => !ref && !problem);
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      const parcel = this.#put({ file, name: file.name || "pasted", size: file.size });
      const problem = this.#complaint(parcel);
      if (problem) this.#change(parcel.key, { problem });
      else this.#send(parcel.key, file);
    }
    this.changed();
  }

  /** Takes files up again that are on the server already. */
  restore(refs: FileRef[]): void {
    for (const ref of refs) this.#put({ name: ref.name, size: ref.size ?? 0, ref });
    this.changed();
  }

  /** Whether trying once more could help. */
  mayRetry({ file, problem }: Parcel): boolean {
    return !!file && (problem?.name === "connectionLost" || problem?.name === "serverAnswered");
  }

  retry(key: number): void {
    const file = this.parcels.find((parcel) => parcel.key === key)?.file;
    if (file) this.#send(key, file);
    this.changed();
  }

  remove(key: number): void {
    this.#transfers.get(key)?.cancel();
    this.#transfers.delete(key);
    this.parcels = this.parcels.filter((parcel) => parcel.key !== key);
    this.changed();
  }

  /** Empties it, without taking back what is up. */
  clear(): void {
    for (const { key } of this.parcels) this.remove(key);
  }

  #put(parts: Partial<Parcel> & { name: string; size: number }): Parcel {
    this.#last += 1;
    const parcel = { key: this.#last, file: null, ref: null, problem: null, share: 0, ...parts };
    this.parcels = [...this.parcels, parcel];
    return parcel;
  }

  #complaint({ file, name, size }: Parcel): Problem | null {
    const { chat, accept = [], maxBytes = Number.POSITIVE_INFINITY } = this.#options;
    const limit = Math.min(maxBytes, chat.client.limits.upload_bytes ?? Number.POSITIVE_INFINITY);
    const good = this.parcels.filter(({ problem }) => !problem).length;
    if (good > this.most) {
      return this.most === 1 ? { name: "oneFileFits" } : { name: "filesFit", count: this.most };
    }
    if (size > limit) return { name: "fileTooLarge", limit };
    if (accept.length && !accept.some((rule) => accepts(rule, name, file?.type ?? ""))) {
      return { name: "wrongKind", kinds: accept.join(", ") };
    }
    return null;
  }

  /** The session has its id: what was put in before goes up now. */
  begin(): void {
    for (const { key, file, problem } of this.parcels) {
      if (file && !problem && !this.#transfers.has(key)) this.#send(key, file);
    }
  }

  #send(key: number, file: File): void {
    const { chat } = this.#options;
    const { session } = chat.conversation;
    this.#change(key, { problem: null, share: 0 });
    if (!session) return;
    const transfer = upload(file, {
      base: chat.base,
      session,
      token: chat.client.connection.token,
      progress: (share) => this.#change(key, { share }),
    });
    this.#transfers.set(key, transfer);
    transfer.done
      .then((ref) => this.#change(key, { ref }))
      .catch((error: unknown) => this.#change(key, { problem: told(error) }));
  }

  #change(key: number, parts: Partial<Parcel>): void {
    this.parcels = this.parcels.map((one) => (one.key === key ? { ...one, ...parts } : one));
    this.changed();
  }
}

function told(error: unknown): Problem {
  const { status, message } = error instanceof UploadFailed ? error : { status: 0, message: "" };
  return status ? { name: "serverAnswered", status, message } : { name: "connectionLost" };
}

/** Whether a file is of the kind `rule` asks for (`image/*`, `.pdf`, `text/csv`). */
export function accepts(rule: string, name: string, type: string): boolean {
  const wanted = rule.toLowerCase();
  if (wanted.startsWith(".")) return name.toLowerCase().endsWith(wanted);
  const kind = type.toLowerCase();
  return wanted.endsWith("/*") ? kind.startsWith(wanted.slice(0, -1)) : kind === wanted;
}
