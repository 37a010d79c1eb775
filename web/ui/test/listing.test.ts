import type { Thread, ThreadPage, Threads } from "@parlour/client/threads";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Listing } from "../src/threads/listing";

const thread = (number: number, more: Partial<Thread> = {}): Thread => ({
  id: `t${number}`,
  session: `s${number}`,
  title: `thread ${number}`,
  created: number,
  updated: number,
  doing: "rests",
  ...more,
});

/** A server that answers when it is told to. */
class Server {
  asked: { q?: string; after?: string }[] = [];
  #answers: ((page: ThreadPage | Error) => void)[] = [];

  readonly threads = {
    list: (query: { q?: string; after?: string }) => {
      this.asked.push(query);
      return new Promise<ThreadPage>((resolve, reject) =>
        this.#answers.push((page) => (page instanceof Error ? reject(page) : resolve(page))),
      );
    },
  } as unknown as Threads;

  async answer(page: ThreadPage | Error): Promise<void> {
    this.#answers.shift()?.(page);
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
}

let server: Server;
let listing: Listing;
const titles = () => listing.threads.map(({ title }) => title);

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  listing = new Listing(server.threads, () => {});
});
afterEach(() => vi.useRealTimers());

test("pages follow each other, and a first page that comes anew goes before them", async () => {
  void listing.refresh();
  await server.answer({ threads: [thread(9), thread(8)], next: "8" });
  void listing.extend();
  void listing.extend();
  expect(server.asked.length).toBe(2);
  await server.answer({ threads: [thread(7), thread(6)] });
  expect(titles()).toEqual(["thread 9", "thread 8", "thread 7", "thread 6"]);
  expect(listing.more).toBe(false);
  void listing.refresh();
  await server.answer({ threads: [thread(7, { updated: 10 }), thread(9)], next: "9" });
  expect(titles()).toEqual(["thread 7", "thread 9", "thread 8", "thread 6"]);
});

test("only the last question's answer is heard", async () => {
  void listing.refresh();
  listing.search("b");
  listing.search("bc");
  await server.answer({ threads: [thread(1)] });
  await server.answer({ threads: [thread(2)] });
  expect(listing.state).toBe("loading");
  await server.answer({ threads: [thread(3)] });
  expect(titles()).toEqual(["thread 3"]);
  expect(server.asked.at(-1)?.q).toBe("bc");
});

test("a search that has not looked through everything is asked again", async () => {
  listing.search("needle");
  await server.answer({ threads: [thread(3)], complete: false });
  expect([titles(), listing.complete]).toEqual([["thread 3"], false]);
  vi.runAllTimers();
  await server.answer({ threads: [thread(3), thread(2)] });
  expect([titles(), listing.complete]).toEqual([["thread 3", "thread 2"], true]);
});

test("what is known without asking is shown at once", async () => {
  void listing.refresh();
  await server.answer({ threads: [thread(2), thread(1)] });
  listing.patch("s2", "Named");
  listing.patch("s1", null);
  listing.patch("s9", null);
  expect(titles()).toEqual(["Named"]);
});

test("what could not be fetched may be asked for again", async () => {
  void listing.refresh();
  await server.answer(new Error("no connection"));
  expect(listing.state).toBe("failed");
  void listing.refresh();
  await server.answer({ threads: [thread(1)] });
  expect([listing.state, titles()]).toEqual(["ready", ["thread 1"]]);
});
