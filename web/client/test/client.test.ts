import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client } from "../src/client";
import { memoryShelf, type Shelf } from "../src/shelf";
import { bot, delta, records, SESSION, started, user } from "./events";
import { FakeServer, KeepingServer } from "./server";

let server: FakeServer;
let shelves: Map<string, Shelf>;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  shelves = new Map();
});
afterEach(() => void vi.useRealTimers());

/** A page that begins, or begins again after a reload: what was kept is still there. */
function begin() {
  const shelf = (session: string) => {
    if (!shelves.has(session)) shelves.set(session, memoryShelf());
    return shelves.get(session) as Shelf;
  };
  const client = new Client({ pipe: server.open, shelf });
  client.connection.start();
  return client;
}

function opened() {
  const client = begin();
  const conversation = client.enter();
  server.greet();
  const [open] = server.of("open");
  server.say({ t: "ack", session: SESSION, id: open?.id ?? "", seq: 1 });
  server.say(records(0, { type: "SessionOpened" }), { t: "live", session: SESSION });
  return { client, conversation };
}

const ack = (id: string, seq = 2) => server.say({ t: "ack" as const, session: SESSION, id, seq });

test("a new session is asked for under one id, however often the connection is lost", () => {
  const conversation = begin().enter();
  server.greet();
  server.cut();
  vi.advanceTimersByTime(1_000);
  server.greet();
  const ids = server.of("open").map(({ id }) => id);
  expect(ids).toHaveLength(2);
  expect(new Set(ids).size).toBe(1);
  ack(ids[0] ?? "", 1);
  expect(conversation.session).toBe(SESSION);
});

test("after a loss it attaches at its place and repeats what has no answer", () => {
  const { conversation } = opened();
  conversation.say("one");
  const [id = ""] = server.of("say").map((frame) => frame.id);
  server.say(records(1, user("one", id)));
  conversation.say("two");
  server.cut();
  conversation.say("three");
  vi.advanceTimersByTime(1_000);
  server.heard = [];
  server.greet();
  expect(server.of("attach")).toEqual([{ t: "attach", session: SESSION, after: 2 }]);
  expect(server.of("say").map(({ text }) => text)).toEqual(["two", "three"]);
});

test("however often the connection is cut, each command arrives and is shown once", () => {
  const step = fc.constantFrom("say", "cut", "greet", "take", "reload");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (plan) => {
      shelves = new Map();
      const keeper = new KeepingServer();
      server = keeper;
      let client = begin();
      let conversation = client.enter(SESSION);
      let said = 0;
      const steps = {
        say: () => conversation.say(`m${said++}`),
        cut: () => {
          server.heard = [];
          server.cut();
        },
        greet: () => {
          for (let wait = 0; wait < 30 && !server.rung; wait += 1) vi.advanceTimersByTime(500);
          if (server.rung) server.greet();
        },
        take: () => keeper.take(),
        reload: () => {
          client.connection.stop();
          client = begin();
          conversation = client.enter(SESSION);
        },
      };
      for (const name of [...plan, "cut", "greet", "take"] as const) steps[name]();
      const words = Array.from({ length: said }, (_, index) => `m${index}`);
      expect(keeper.log.map(({ text }) => text).sort()).toEqual(words.sort());
      expect(conversation.transcript.items).toHaveLength(said);
      expect(conversation.underway).toEqual([]);
      client.connection.stop();
    }),
  );
});

test("a gap in the records is closed by attaching again, once", () => {
  const { conversation } = opened();
  server.heard = [];
  server.say(records(5, bot("late")), records(6, bot("later")));
  expect(server.of("attach")).toEqual([{ t: "attach", session: SESSION, after: 1 }]);
  expect(conversation.transcript.live).toBe(false);
});

test("missing text of a stream is asked for, but not in a storm", () => {
  opened();
  server.heard = [];
  server.say(records(1, user("a"), started(1, 2)), delta(4, "late"), delta(9, "later"));
  server.say({ t: "live", session: SESSION }, delta(4, "again"));
  expect(server.of("attach")).toHaveLength(1);
});

test("an overloaded server is asked again after its pause, a refused message is not", () => {
  const { conversation } = opened();
  conversation.say("hello");
  const [first] = server.of("say");
  const refusal = { t: "refused" as const, session: SESSION, id: first?.id ?? "", message: "no" };
  server.say({ ...refusal, code: "overloaded", retry_after: 2 });
  vi.advanceTimersByTime(2_100);
  expect(server.of("say")).toHaveLength(2);
  server.say({ ...refusal, code: "too_large" });
  vi.advanceTimersByTime(10_000);
  expect(server.of("say")).toHaveLength(2);
  expect(conversation.underway.map(({ state, reason }) => [state, reason])).toEqual([
    ["refused", "no"],
  ]);
  conversation.retry(first?.id ?? "");
  expect(server.of("say")).toHaveLength(3);
});

test("a server that falls silent is given up and sought again", () => {
  const { client } = opened();
  vi.advanceTimersByTime(14_000);
  expect(server.pipes).toBe(1);
  vi.advanceTimersByTime(12_000);
  expect(client.connection.state).not.toBe("ready");
  vi.advanceTimersByTime(1_000);
  expect(server.pipes).toBe(2);
});

test("a server that speaks another version is not sought again", () => {
  const client = begin();
  const conversation = client.enter();
  server.cut(4000);
  vi.advanceTimersByTime(60_000);
  expect(server.pipes).toBe(1);
  expect(conversation.trouble?.code).toBe("unsupported_version");
});

test("several conversations share the connection and keep to their own frames", () => {
  const { client, conversation } = opened();
  const other = client.enter("s2");
  expect(server.of("attach").at(-1)).toEqual({ t: "attach", session: "s2", after: 0 });
  server.say({ ...records(0, user("elsewhere")), session: "s2" });
  expect(conversation.transcript.items).toEqual([]);
  expect(other.transcript.items).toHaveLength(1);
  client.leave(other);
  expect(server.of("detach")).toEqual([{ t: "detach", session: "s2" }]);
});
