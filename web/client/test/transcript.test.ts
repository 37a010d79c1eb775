import fc from "fast-check";
import { expect, test } from "vitest";
import { Transcript } from "../src/transcript";
import type { Event, Records } from "../src/wire";
import { asked, bot, delta, done, logs, records, started, user } from "./events";

const NOW = 1_763_726_400;

function transcript(...frames: (Records | ReturnType<typeof delta> | "live")[]) {
  const it = new Transcript();
  const took = frames.map((frame) => {
    if (frame === "live") it.goLive();
    else if (frame.t === "records") return it.addRecords(frame, NOW);
    else return it.addDelta(frame);
    return true;
  });
  return { it, took, keys: it.items.map(({ key }) => key), texts: texts(it) };
}

const texts = (it: Transcript) =>
  it.items.map((item) => (item.kind === "notice" ? item.status : item.text));

test("however a log is cut into frames, repeated and overlapped, it tells the same", () => {
  const cuts = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 0, max: 40 })), { maxLength: 12 });
  fc.assert(
    fc.property(logs, cuts, (log, slices) => {
      const whole = transcript(records(0, ...log)).it;
      const pieces = new Transcript();
      for (const [from, length] of slices) {
        const place = pieces.place;
        const took = pieces.addRecords(records(from, ...log.slice(from, from + length)), NOW);
        expect(took).toBe(from <= place);
        if (!took) expect(pieces.place).toBe(place);
      }
      pieces.addRecords(records(pieces.place, ...log.slice(pieces.place)), NOW);
      expect(pieces.items).toEqual(whole.items);
      expect(pieces.questions).toEqual(whole.questions);
      expect([pieces.place, pieces.round]).toEqual([log.length, whole.round]);
    }),
  );
});

test("keys are unique, and an item that does not change keeps its identity", () => {
  fc.assert(
    fc.property(logs, (log) => {
      const it = new Transcript();
      log.forEach((event, index) => {
        const before = new Map(it.items.map((item) => [item.key, item]));
        it.addRecords(records(index, event), NOW);
        expect(new Set(it.items.map(({ key }) => key)).size).toBe(it.items.length);
        if (!event) expect(it.items.every((item) => before.get(item.key) === item)).toBe(true);
      });
    }),
  );
});

test("a gap is noticed and nothing behind it is taken", () => {
  const { it, took, texts } = transcript(records(0, user("a")), records(2, bot("b")));
  expect(took).toEqual([true, false]);
  expect(it.place).toBe(1);
  expect(texts).toEqual(["a"]);
});

test("records that are not shown still move the place", () => {
  expect(transcript(records(0, user("a"), null, null), records(3, null)).it.place).toBe(4);
});

test("events of a later version are ignored", () => {
  const later = { type: "PlotDrawn", data: 1 } as unknown as Event;
  expect(transcript(records(0, later, user("a"))).texts).toEqual(["a"]);
});

test("a delta's offset counts code points", () => {
  const deltas = [delta(0, "a👋🏽b"), delta(4, "c"), delta(1, "…"), delta(2, "d")];
  expect(transcript("live", ...deltas).texts).toEqual(["a…d"]);
});

test("deltas build up what the wire says they do", () => {
  const pieces = fc.array(fc.tuple(fc.nat(12), fc.string({ unit: "binary", maxLength: 4 })));
  fc.assert(
    fc.property(pieces, (deltas) => {
      const it = new Transcript();
      let text: string[] = [];
      for (const [offset, piece] of deltas) {
        const fits = offset <= text.length;
        expect(it.addDelta(delta(offset, piece))).toBe(fits);
        if (!fits) return;
        text = [...text.slice(0, offset), ...piece];
        expect(texts(it)).toEqual([text.join("")]);
      }
    }),
  );
});

test("a message replaces what was streamed of it, under the same key", () => {
  const before = [records(0, user("a"), started()), "live", delta(0, "Hel")] as const;
  expect(transcript(...before).keys.at(-1)).toBe("b:1:stream#1");
  const after = transcript(...before, records(2, bot("Hello", "stream#1")), delta(3, "lo"));
  expect(after.texts).toEqual(["a", "Hello"]);
  expect(after.keys.at(-1)).toBe("b:1:stream#1");
});

test("who attaches again gets the text so far in place of the old", () => {
  const frames = [records(0, user("a"), started()), "live", delta(0, "lost wor")] as const;
  expect(transcript(...frames, "live", delta(0, "new text")).texts).toEqual(["a", "new text"]);
});

test("what a stopped round had written stays", () => {
  const stopped: Event = { type: "RoundFinished", round: 1, status: "stopped" };
  const frames = [records(0, user("a"), started()), "live", delta(0, "half an ans")] as const;
  const { it, texts } = transcript(...frames, records(2, stopped));
  expect(texts).toEqual(["a", "half an ans", "stopped"]);
  expect(it.round).toBe(0);
});

test("a message that waits stands behind the answer before it, until its own round begins", () => {
  const log = [user("a"), started(), user("b"), bot("to a"), done()];
  expect(transcript(records(0, ...log)).texts).toEqual(["a", "to a", "b"]);
  const next = [started(2, 3), bot("to b")];
  expect(transcript(records(0, ...log, ...next)).texts).toEqual(["a", "to a", "b", "to b"]);
});

test("a message that the running round takes up stands where it was taken", () => {
  const taken: Event = { type: "MessagesTaken", path: "inbox#1", sources: [3] };
  const { texts } = transcript(records(0, user("a"), started(), user("b"), taken, bot("to both")));
  expect(texts).toEqual(["a", "b", "to both"]);
});

test("a message of this tab keeps its key when it is recorded", () => {
  const { keys } = transcript(records(0, user("a", "id-1"), user("b", "id-1")));
  expect(keys).toEqual(["c:id-1", "r:2"]);
});

test("questions of a round that is over are closed", () => {
  const frames = records(0, user("a"), started(), asked(), asked("ask#2"));
  const open = (...more: Event[]) =>
    transcript(frames, records(4, ...more)).it.questions.map(({ seq }) => seq);
  const answered: Event = { type: "QuestionAnswered", question: 3, value: "x", text: "x" };
  expect(open()).toEqual([3, 4]);
  expect(open(answered)).toEqual([4]);
  expect(open(answered, done())).toEqual([]);
});

test.each(["closed", "expired", "erased"] as const)("a session that is %s says so", (reason) => {
  const { it, texts } = transcript(records(0, user("a"), { type: "SessionClosed", reason }));
  expect(texts).toEqual(["a", reason]);
  expect(it.closed).toBe(true);
});

test("the clocks' difference is the smallest seen", () => {
  const it = new Transcript();
  it.addRecords({ ...records(0, user("a")), at: 10 }, 500);
  it.goLive();
  it.addRecords({ ...records(1, user("b")), at: 100 }, 103);
  it.addRecords({ ...records(2, user("c")), at: 110 }, 111);
  it.addRecords({ ...records(3, user("d")), at: 120 }, 129);
  expect(it.skew).toBe(1);
});
