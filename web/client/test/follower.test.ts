import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Follower, type Way } from "../src/follower";

const LIVE = 'data: {"t":"live","session":"s1"}\n\n';

/** What a request was answered with: text at once, and the end of it when told. */
interface Request {
  address: URL;
  place: string;
  say: (text: string) => void;
  end: () => void;
}

let requests: Request[];
let hidden: boolean;
let way: Way;
let heard: string[];
let lost: number;
let follower: Follower;

beforeEach(() => {
  vi.useFakeTimers();
  requests = [];
  heard = [];
  hidden = false;
  lost = 0;
  way = { keepsStreams: false };
  vi.stubGlobal("fetch", answer);
});
afterEach(() => {
  follower.end();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function answer(address: URL, options: RequestInit): Promise<Response> {
  const { signal } = options;
  const place = new Headers(options.headers).get("Last-Event-ID") ?? "";
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      signal?.addEventListener("abort", () => controller.error(new Error("aborted")));
      requests.push({
        address,
        place,
        say: (text) => controller.enqueue(new TextEncoder().encode(text)),
        end: () => controller.close(),
      });
    },
  });
  return new Response(body);
}

function follow(): void {
  follower = new Follower(4, {
    address: (query) => new URL(`http://server/sessions/s1/events${query}`),
    headers: () => ({}),
    hidden: () => hidden,
    way,
    heard: (message) => heard.push(message),
    lost: () => {
      lost += 1;
    },
  });
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(1000 * seconds);
const last = () => requests.at(-1) as Request;

test("a stream that ends is opened again at the place that was heard last", async () => {
  follow();
  await pass(0);
  expect(last().place).toBe("4");
  last().say(`id: 7\ndata: {"t":"records"}\n\n${LIVE}`);
  last().end();
  await pass(1);
  expect(requests).toHaveLength(2);
  expect(last().place).toBe("7");
  expect(heard).toEqual(['{"t":"records"}\n{"t":"live","session":"s1"}']);
});

test("where a stream brings nothing, what it asks for ends by itself", async () => {
  follow();
  await pass(7);
  expect(way.keepsStreams).toBe(true);
  expect(last().address.search).toBe("?wait=20");
  last().say(LIVE);
  last().end();
  await pass(0);
  expect(requests).toHaveLength(3);
  expect(lost).toBe(0);
});

test("a stream that falls silent is asked for again, and given up when it does so twice", async () => {
  follow();
  await pass(0);
  last().say(LIVE);
  await pass(26);
  expect(requests).toHaveLength(2);
  expect(way.keepsStreams).toBe(false);
  last().say(LIVE);
  await pass(26);
  expect(way.keepsStreams).toBe(true);
});

test("while nobody looks it holds no connection, and streams again at once when somebody does", async () => {
  hidden = true;
  follow();
  await pass(0);
  expect(last().address.search).toBe("?wait=0");
  last().end();
  await pass(4);
  expect(requests).toHaveLength(1);
  await pass(2);
  expect(requests).toHaveLength(2);
  last().end();
  await pass(0);
  hidden = false;
  follower.wake();
  await pass(0);
  expect(last().address.search).toBe("");
});

test("a server that cannot be reached is lost, and a refusal is passed on", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("no network")));
  follow();
  await pass(0);
  expect(lost).toBe(1);
  const refusal = '{"t":"refused","session":"s1","code":"unknown_session","message":""}';
  vi.stubGlobal("fetch", async () => new Response(`${refusal}\n`, { status: 404 }));
  follow();
  await pass(0);
  expect(heard).toEqual([refusal]);
  expect(lost).toBe(1);
});
