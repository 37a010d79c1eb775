/** One file on its way to the server. A request of the old kind, because `fetch` tells no progress. */

import type { FileRef } from "./wire";

export interface UploadOptions {
  /** The server's address, with its path prefix. */
  base: URL;
  session: string;
  /** For a user without a cookie. */
  token?: string;
  progress?: (share: number) => void;
}

/** Why a file is not there; `status` 0 is a lost connection. `message` is the server's, or "". */
export class UploadFailed extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Upload {
  /** Rejects with `UploadFailed`; never settles when cancelled. */
  done: Promise<FileRef>;
  cancel(): void;
}

export function upload(file: File, { base, session, token, progress }: UploadOptions): Upload {
  const request = new XMLHttpRequest();
  const done = new Promise<FileRef>((resolve, reject) => {
    const query = new URLSearchParams({ session, name: file.name });
    request.open("POST", new URL(`files?${query}`, base));
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => progress?.(loaded / (total || 1));
    request.onerror = () => reject(new UploadFailed(0, ""));
    request.onload = () => {
      const body = parse(request.responseText);
      if (request.status === 201 && body?.id) resolve(body as FileRef);
      else reject(new UploadFailed(request.status, body?.message ?? ""));
    };
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}

/** Where a file of a session is to be had. */
export function fileAddress(base: URL, session: string, file: string): string {
  return new URL(`files/${encodeURIComponent(session)}/${encodeURIComponent(file)}`, base).href;
}

function parse(text: string): (Partial<FileRef> & { message?: string }) | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
