/** A table from CSV: its cells as they are, its columns by what is in them. Pure. */

export interface Column {
  name: string;
  /** Whether all that is in it are numbers. */
  numeric: boolean;
  /** In characters: as wide as most of what is in it. */
  width: number;
}

export interface Grid {
  columns: Column[];
  rows: string[][];
}

export type Direction = "ascending" | "descending";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/i;
const NARROW = 4;
const WIDE = 40;
/** More digits than these after the point tell nobody anything. */
const DIGITS = 6;

/** A cell and what ends it: RFC 4180 has quotes around what has commas, quotes or lines. */
const CELL = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/y;

export function cells(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  CELL.lastIndex = 0;
  while (CELL.lastIndex < text.length) {
    const found = CELL.exec(text);
    if (!found) break; // what follows a closed quote is no CSV
    const [, quoted, plain = "", end] = found;
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") {
      if (CELL.lastIndex === text.length) row.push("");
      else continue;
    }
    rows.push(row);
    row = [];
  }
  return rows;
}

export function grid(text: string): Grid {
  const [head = [], ...rows] = cells(text);
  const columns = head.map((name, place) => {
    let longest = name.length + 2;
    let numeric = rows.length > 0;
    let empty = true;
    for (const row of rows) {
      const cell = row[place] ?? "";
      if (!cell) continue;
      empty = false;
      if (numeric && !NUMBER.test(cell)) numeric = false;
      longest = Math.max(longest, Math.min(WIDE, shown(cell, numeric).length));
    }
    return { name, numeric: numeric && !empty, width: Math.max(NARROW, Math.min(WIDE, longest)) };
  });
  return { columns, rows };
}

/** A cell as it is read: numbers without the noise of their last digits. */
export function shown(cell: string, numeric: boolean): string {
  const point = numeric ? cell.indexOf(".") : -1;
  if (point < 0 || cell.length - point - 1 <= DIGITS || /e/i.test(cell)) return cell;
  return String(Number(Number(cell).toFixed(DIGITS)));
}

/** The rows in the order of a column; what is empty comes last, either way. */
export function sorted(
  { columns, rows }: Grid,
  place: number,
  direction: Direction,
  tag: string,
): string[][] {
  const numeric = columns[place]?.numeric;
  const { compare } = new Intl.Collator(tag, { numeric: true });
  const sign = direction === "ascending" ? 1 : -1;
  const order = numeric
    ? (one: string, other: string) => Number(one) - Number(other)
    : (one: string, other: string) => compare(one, other);
  return rows.toSorted((one, other) => {
    const [a = "", b = ""] = [one[place], other[place]];
    if (!a || !b) return Number(!a) - Number(!b);
    return sign * order(a, b);
  });
}
