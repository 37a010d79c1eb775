/**
 * A user's conversations over HTTP (docs/wire.md): lists, titles, branches, links, what to keep.
 * A thread is a conversation with all its branches.
 */

import type { Records } from "./wire";

export interface Thread {
  id: string;
  /** The branch that was last updated. */
  session: string;
  title: string;
  /** Unix seconds. */
  created: number;
  updated: number;
  doing: "rests" | "works" | "asks";
  /** The newest record that the user may want to see. */
  told?: number;
  closed?: boolean;
  excerpt?: string;
}

export interface ThreadPage {
  threads: Thread[];
  next?: string;
  complete?: boolean;
}

export interface Branch {
  session: string;
  updated: number;
  /** The first `upto` records are those of `origin`. */
  origin?: string;
  upto?: number;
}

export interface Link {
  token: string;
  session: string;
  title: string;
  at: number;
  records: number;
}

export interface SharedPage {
  title: string;
  at: number;
  frames: Records[];
  next?: number;
}

/** `status` 0 is a lost connection. `message` is the server's, or "". */
export class RequestFailed extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface ThreadsOptions {
  /** The server's address, with its path prefix. */
  base: URL;
  /** What stands for a user without a cookie. */
  token: () => string;
}

/** All methods reject with `RequestFailed`. */
export class Threads {
  #base: URL;
  #token: () => string;

  constructor({ base, token }: ThreadsOptions) {
    this.#base = base;
    this.#token = token;
  }

  list(query: { q?: string; after?: string; limit?: string }): Promise<ThreadPage> {
    return this.#json(`threads?${new URLSearchParams(query)}`);
  }

  rename(session: string, title: string): Promise<Response> {
    return this.#ask(`threads/${session}`, "POST", { title });
  }

  erase(session: string): Promise<Response> {
    return this.#ask(`threads/${session}`, "DELETE");
  }

  branches(session: string): Promise<{ branches: Branch[]; may: string[] }> {
    return this.#json(`threads/${session}/branches`);
  }

  /** Something else is said instead of the user's message at record `before`. */
  branch(
    session: string,
    request: { id: string; before: number; text?: string; files?: string[] },
  ): Promise<{ session: string }> {
    return this.#json(`threads/${session}/branches`, "POST", request);
  }

  links(): Promise<{ shares: Link[] }> {
    return this.#json("shares");
  }

  share(session: string): Promise<Link> {
    return this.#json(`threads/${session}/shares`, "POST");
  }

  unshare(token: string): Promise<Response> {
    return this.#ask(`shares/${encodeURIComponent(token)}`, "DELETE");
  }

  /** A file to keep, under the name the server gives it. `you` is what the user is called in it. */
  async keep(
    session: string,
    kind: "markdown" | "json",
    you: string,
  ): Promise<{ name: string; content: Blob }> {
    const query = new URLSearchParams({ as: kind, you });
    const response = await this.#ask(`threads/${session}/export?${query}`);
    const named = /filename\*=UTF-8''([^;]+)/.exec(
      response.headers.get("content-disposition") ?? "",
    );
    const name = decodeURIComponent(named?.[1] ?? "conversation");
    return { name, content: await response.blob() };
  }

  async #json<T>(path: string, method = "GET", body?: unknown): Promise<T> {
    return (await this.#ask(path, method, body)).json();
  }

  async #ask(path: string, method = "GET", body?: unknown): Promise<Response> {
    const headers: Record<string, string> = {};
    const token = this.#token();
    if (token) headers.Authorization = `Bearer ${token}`;
    const request: RequestInit = { method, headers, cache: "no-store" };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    return fetched(new URL(path, this.#base), request);
  }
}

/** What a link leads to, after record `after`. */
export async function readShared(base: URL, token: string, after: number): Promise<SharedPage> {
  const path = `shared/${encodeURIComponent(token)}/records?after=${after}`;
  return (await fetched(new URL(path, base), {})).json();
}

async function fetched(address: URL, request: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, request);
  } catch {
    throw new RequestFailed(0, "", "");
  }
  if (response.ok) return response;
  const { code = "", message = "" } = await response.json().catch(() => ({}));
  throw new RequestFailed(response.status, code, message);
}
