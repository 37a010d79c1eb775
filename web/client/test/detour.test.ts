import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client } from "../src/client";
import { withDetour } from "../src/detour";
import { EventParser } from "../src/events";
import { memoryShelf } from "../src/shelf";
import { FakeServer } from "./server";

let straight: FakeServer;
let detour: FakeServer;
let client: Client;

beforeEach(() => {
  vi.useFakeTimers();
  straight = new FakeServer();
  detour = new FakeServer();
  const pipe = withDetour(straight.open, detour.open);
  client = new Client({ pipe, shelf: () => memoryShelf() });
  client.connection.start();
});
afterEach(() => {
  client.connection.stop();
  vi.useRealTimers();
});

/** Time passes, and `server` answers whatever beats. */
function pass(seconds: number, server: FakeServer): void {
  for (let second = 0; second < seconds; second += 1) {
    vi.advanceTimersByTime(1_000);
    server.say({ t: "pong" });
  }
}

const state = () => client.connection.state;

test("a straight way that answers is the only one that is taken", () => {
  straight.greet();
  pass(60, straight);
  expect(detour.pipes).toBe(0);
});

test("where the straight way is refused, the detour is taken at once, and again the next time", () => {
  straight.cut();
  detour.greet();
  expect(state()).toBe("ready");
  detour.cut();
  vi.advanceTimersByTime(1_000);
  expect(straight.pipes).toBe(1);
  detour.greet();
  expect(state()).toBe("ready");
});

test("where the straight way hangs, the detour is tried beside it, and the first that answers wins", () => {
  vi.advanceTimersByTime(4_000);
  expect(detour.rung).toBe(true);
  straight.greet();
  expect(state()).toBe("ready");
  client.enter();
  expect(straight.of("open")).toHaveLength(1);
  expect(detour.of("open")).toHaveLength(0);
});

test("a straight way that is cut again and again is given up", () => {
  straight.greet();
  straight.cut();
  vi.advanceTimersByTime(1_000);
  straight.greet();
  straight.cut();
  vi.advanceTimersByTime(2_000);
  expect(detour.rung).toBe(true);
});

test("with neither way it is tried again, later and later", () => {
  straight.cut();
  detour.cut();
  expect(state()).toBe("waiting");
  vi.advanceTimersByTime(1_000);
  expect(straight.pipes).toBe(2);
});

test("when the straight way is free again, it is taken", () => {
  straight.cut();
  detour.greet();
  pass(30, detour);
  expect(straight.rung).toBe(true);
  straight.greet();
  vi.advanceTimersByTime(1_000);
  straight.greet();
  expect(state()).toBe("ready");
  expect(detour.pipes).toBe(1);
});

test("a straight way that is looked at and still blocked disturbs nobody", () => {
  straight.cut();
  detour.greet();
  pass(30, detour);
  straight.cut();
  pass(20, detour);
  expect(state()).toBe("ready");
  pass(41, detour);
  expect(straight.pipes).toBe(3);
});

test("a refusal in the server's own words is believed", () => {
  straight.cut(4000);
  expect(state()).toBe("ended");
  expect(detour.pipes).toBe(0);
});

test("events are read however the pieces fall", () => {
  const text = "retry: 1000\r\n\r\nid: 3\r\ndata: one\r\ndata: two\r\n\r\n: beat\n\ndata:three\n\n";
  for (let size = 1; size < text.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) {
      events.push(...parser.take(text.slice(at, at + size)));
    }
    expect(events).toEqual([
      { data: "one\ntwo", id: "3" },
      { data: "three", id: "3" },
    ]);
  }
});
