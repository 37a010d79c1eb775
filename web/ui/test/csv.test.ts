import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cells, grid, shown, sorted } from "../src/rich/csv";

const quoted = (cell: string) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const written = (rows: string[][]) => rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");

describe("a table from CSV", () => {
  test("has the cells that were written", () => {
    const row = fc.array(fc.string({ unit: "grapheme" }), { minLength: 2, maxLength: 2 });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1 }), (rows) => {
        expect(cells(written(rows))).toEqual(rows);
      }),
    );
  });

  test("is read in time, whatever it is", () => {
    fc.assert(fc.property(fc.string(), (text) => void grid(text)));
    expect(cells('"never closed')).toEqual([['"never closed']]);
    expect(cells("")).toEqual([]);
    expect(cells("a,")).toEqual([["a", ""]]);
  });

  test("knows which columns are numbers", () => {
    const { columns } = grid("n,zip,mixed,empty\n1,007,1,\n-2.5e3,12,x,\n,1,2,\n");

    expect(columns.map(({ numeric }) => numeric)).toEqual([true, false, false, false]);
  });

  test("shows numbers without noise, and text as it is", () => {
    expect(shown("0.30000000000000004", true)).toBe("0.3");
    expect(shown("12.5", true)).toBe("12.5");
    expect(shown("1e-12", true)).toBe("1e-12");
    expect(shown("0.30000000000000004", false)).toBe("0.30000000000000004");
  });

  test("is sorted by numbers and by words, what is empty at the end", () => {
    const table = grid("n,word\n10,b\n9,\n,ä\n-1,a10\n2,a9\n");
    const column = (rows: string[][], place: number) => rows.map((row) => row[place]);

    expect(column(sorted(table, 0, "ascending", "de"), 0)).toEqual(["-1", "2", "9", "10", ""]);
    expect(column(sorted(table, 0, "descending", "de"), 0)).toEqual(["10", "9", "2", "-1", ""]);
    expect(column(sorted(table, 1, "ascending", "de"), 1)).toEqual(["ä", "a9", "a10", "b", ""]);
  });
});
