import { expect, test } from "vitest";
import { Family } from "../src/branches";

/** `root` said something at 5, and later at 12; each branch begins with a record about itself. */
const root = { session: "root", updated: 1 };

test("a message that was never said otherwise has no variants", () => {
  expect(new Family([root]).variants("root", 5)).toBeNull();
  expect(
    new Family([root, { session: "b", updated: 2, origin: "root", upto: 11 }]).variants("root", 5),
  ).toBeNull();
  expect(new Family([]).variants("root", 5)).toBeNull();
});

test("each variant leads to the branch that was last updated behind it", () => {
  const family = new Family([
    root,
    { session: "b", updated: 2, origin: "root", upto: 4 },
    { session: "c", updated: 3, origin: "root", upto: 11 },
    { session: "d", updated: 4, origin: "b", upto: 13 },
  ]);
  const first = { sessions: ["c", "d"], after: 4 };
  expect(family.variants("root", 5)).toEqual({ ...first, index: 0 });
  expect(family.variants("c", 5)).toEqual({ ...first, index: 0 });
  expect(family.variants("b", 6)).toEqual({ ...first, index: 1 });
  expect(family.variants("d", 6)).toEqual({ ...first, index: 1 });
  expect(family.variants("root", 12)).toEqual({ sessions: ["root", "c"], index: 0, after: 11 });
  expect(family.variants("c", 13)).toEqual({ sessions: ["root", "c"], index: 1, after: 11 });
  expect(family.variants("d", 15)).toEqual({ sessions: ["b", "d"], index: 1, after: 13 });
});

test("what is said instead of a branch's own message stands beside it", () => {
  const family = new Family([
    root,
    { session: "b", updated: 2, origin: "root", upto: 4 },
    { session: "c", updated: 3, origin: "b", upto: 5 },
    { session: "d", updated: 4, origin: "c", upto: 7 },
  ]);
  const sessions = ["root", "b", "c", "d"];
  expect(family.variants("root", 5)).toEqual({ sessions, index: 0, after: 4 });
  expect(family.variants("b", 6)).toEqual({ sessions, index: 1, after: 4 });
  expect(family.variants("c", 7)).toEqual({ sessions, index: 2, after: 4 });
  expect(family.variants("d", 9)).toEqual({ sessions, index: 3, after: 4 });
});

test("a branch whose origin is gone stands for itself", () => {
  const family = new Family([
    { session: "b", updated: 2, origin: "gone", upto: 4 },
    { session: "c", updated: 3, origin: "b", upto: 9 },
  ]);
  expect(family.variants("b", 6)).toBeNull();
  expect(family.variants("b", 10)).toEqual({ sessions: ["b", "c"], index: 0, after: 9 });
});
