import { describe, expect, test } from "vitest";
import type { PartItem } from "../src/items";
import { Transcript } from "../src/transcript";
import { begun, done, ended, records, SESSION, started, user } from "./events";

const about = { session: SESSION, round: 1 };
const part = (path: string, offset: number, text: string) =>
  ({ t: "part", ...about, path, offset, text }) as const;

function working(...events: Parameters<typeof records>[1][]): Transcript {
  const transcript = new Transcript();
  transcript.addRecords(records(0, user("go"), started(1, 1), ...events), 0);
  return transcript;
}

const shown = (transcript: Transcript) =>
  transcript.items.filter((item): item is PartItem => item.kind === "part");

describe("the parts of a round's work", () => {
  test("stand in each other as their paths say", () => {
    const transcript = working(
      begun("part:Plan#1", "Plan"),
      begun("part:Plan#1/gather#1/0/part:Look#1", "Look"),
      ended("part:Plan#1/gather#1/0/part:Look#1", "found"),
      begun("part:Book#1", "Book"),
    );

    const [plan, book] = shown(transcript);

    expect(plan?.parts.map(({ name, output, state }) => [name, output, state])).toEqual([
      ["Look", "found", "done"],
    ]);
    expect([plan?.state, book?.state]).toEqual(["running", "running"]);
  });

  test("are other objects when something in them has changed, and the same when nothing has", () => {
    const transcript = working(begun("part:A#1"), begun("part:A#1/part:B#1"), begun("part:C#1"));
    const [before, other] = shown(transcript);

    transcript.addPart(part("part:A#1/part:B#1", 0, "more"));

    const [after, still] = shown(transcript);
    expect(after).not.toBe(before);
    expect(after?.parts[0]?.output).toBe("more");
    expect(still).toBe(other);
  });

  test("grow by what comes out of them, and what is recorded replaces it", () => {
    const transcript = working(begun("part:A#1"));

    expect(transcript.addPart(part("part:A#1", 0, "👋 he"))).toBe(true);
    expect(transcript.addPart(part("part:A#1", 4, "llo"))).toBe(true);
    expect(shown(transcript)[0]?.output).toBe("👋 hello");
    expect(transcript.addPart(part("part:A#1", 40, "later"))).toBe(false);

    transcript.addRecords(records(3, ended("part:A#1", "Hello.")), 0);
    expect(transcript.addPart(part("part:A#1", 0, "a ghost"))).toBe(true);
    expect(shown(transcript)[0]?.output).toBe("Hello.");
  });

  test("end with their round", () => {
    const transcript = working(begun("part:A#1"), begun("part:A#1/part:B#1"));
    transcript.addRecords(records(4, { ...done(), status: "stopped" } as never), 0);

    expect(shown(transcript)[0]?.state).toBe("stopped");
    expect(shown(transcript)[0]?.parts[0]?.state).toBe("stopped");
  });

  test("of two rounds are never mixed up", () => {
    const transcript = working(begun("part:A#1"), ended("part:A#1", "one"), done());
    transcript.addRecords(records(5, user("on"), started(2, 6), begun("part:A#1")), 0);

    expect(shown(transcript).map(({ output }) => output)).toEqual(["one", ""]);
    expect(transcript.addPart(part("part:A#1", 0, "of the round before"))).toBe(true);
    expect(shown(transcript)[1]?.output).toBe("");
  });
});

describe("progress", () => {
  test("is over with its part and with its round", () => {
    const transcript = working(begun("part:A#1"));
    transcript.addProgress({ t: "progress", ...about, done: 1, total: 3 });
    transcript.addProgress({ t: "progress", ...about, path: "part:A#1", done: 2 });
    transcript.addProgress({ t: "progress", ...about, round: 7, done: 9 });
    expect(transcript.work.progress?.done).toBe(1);
    expect(shown(transcript)[0]?.progress?.done).toBe(2);

    transcript.addRecords(records(3, ended("part:A#1")), 0);
    expect(shown(transcript)[0]?.progress).toBeUndefined();
    expect(transcript.work.progress?.done).toBe(1);
    transcript.addRecords(records(4, done()), 0);
    expect(transcript.work.progress).toBeNull();
  });
});
