import fc from "fast-check";
import { expect, test } from "vitest";
import { advance } from "../src/backlog";

test("in small steps everything that is wanted is drawn, and nothing else", () => {
  const numbers = fc.integer({ min: 0, max: 400 });
  fc.assert(
    fc.property(numbers, numbers, numbers, numbers, fc.integer({ min: 1, max: 10 }), (...all) => {
      const [total, step] = [all[0], all[4]];
      const [from = 0, to = 0, goal = 0] = all.slice(1, 4).map((each) => Math.min(each, total));
      let extent = { from: Math.min(from, to), to, goal };
      let steps = 0;
      while (extent.from > goal || extent.to < total || !steps) {
        const next = advance(extent, total, step);
        const kept = Math.min(extent.to, next.to) - Math.max(extent.from, next.from);
        expect(next.to - next.from - Math.max(0, kept)).toBeLessThanOrEqual(step);
        extent = next;
        steps += 1;
        expect(steps).toBeLessThan(1000);
        if (goal >= total) break;
      }
      if (goal < total) expect(extent).toEqual({ from: goal, to: total, goal });
    }),
  );
});
