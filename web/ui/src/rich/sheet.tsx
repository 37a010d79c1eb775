/** A table to be sorted and kept. Of a long one only what is in view is drawn. */

import type { FileRef } from "@parlour/client";
import { useContext, useMemo, useRef, useState } from "preact/hooks";
import { Icon } from "../icons";
import { fill, Speech } from "../texts";
import { Caption } from "./caption";
import { useContent } from "./content";
import { type Column, type Direction, grid, shown, sorted } from "./csv";
import { Missing } from "./missing";

/** As `.sheet td` in rich.css has it. */
const ROW = 34;
const WHOLE = 100;
const AROUND = 12;

interface Order {
  place: number;
  direction: Direction;
}

export function Sheet({ file }: { file: FileRef }) {
  const { texts, tag } = useContext(Speech);
  const { value, failed, again } = useContent(file, grid);
  const [order, setOrder] = useState<Order | null>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const rows = useMemo(() => {
    if (!value || !order) return value?.rows ?? [];
    return sorted(value, order.place, order.direction, tag);
  }, [value, order, tag]);
  if (failed) return <Missing file={file} again={again} />;
  const count = rows.length;
  const total = Math.max(file.rows ?? 0, count);
  const view = windowOf(count, top, scroller.current?.clientHeight ?? 0);
  const turn = (place: number) => setOrder(next(order, place));
  const number = (many: number) => many.toLocaleString(tag);
  const words = count < total ? texts.rowsOf : texts.rows;
  const many = fill(words, { count: number(count), total: number(total) });
  return (
    <figure class="sheet">
      {/* biome-ignore lint/a11y/useSemanticElements: it is no set of fields, and no landmark either */}
      <div
        class="sheet-scroller"
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        aria-label={file.alt || texts.table}
        ref={scroller}
        onScroll={({ currentTarget }) => setTop(currentTarget.scrollTop)}
      >
        {value && (
          <table aria-rowcount={count + 1} aria-label={file.alt || file.name}>
            <colgroup>
              {value.columns.map(({ width }) => (
                <col style={{ width: `calc(${width}ch + 2.25rem)` }} />
              ))}
            </colgroup>
            <Head columns={value.columns} order={order} turn={turn} />
            <tbody>
              <Room rows={view.from} />
              {rows.slice(view.from, view.to).map((row, place) => (
                <tr key={view.from + place} aria-rowindex={view.from + place + 2}>
                  {value.columns.map(({ numeric }, column) => (
                    <td class={numeric ? "right" : undefined} title={long(row[column])}>
                      {shown(row[column] ?? "", numeric)}
                    </td>
                  ))}
                </tr>
              ))}
              <Room rows={count - view.to} />
            </tbody>
          </table>
        )}
      </div>
      <Caption file={file} words={file.alt ? `${file.alt} · ${many}` : many} label="CSV" />
    </figure>
  );
}

interface HeadProps {
  columns: Column[];
  order: Order | null;
  turn: (place: number) => void;
}

function Head({ columns, order, turn }: HeadProps) {
  return (
    <thead>
      <tr aria-rowindex={1}>
        {columns.map(({ name, numeric }, place) => {
          const direction = order?.place === place ? order.direction : undefined;
          return (
            <th
              scope="col"
              class={numeric ? "right" : undefined}
              aria-sort={direction ?? "none"}
              data-sorted={direction}
            >
              <button type="button" title={long(name)} onClick={() => turn(place)}>
                <span>{name || "\u00a0"}</span>
                <Icon name="down" />
              </button>
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

/** The place of rows that are not drawn. */
function Room({ rows }: { rows: number }) {
  if (rows <= 0) return null;
  return (
    <tr class="room" style={{ height: `${rows * ROW}px` }}>
      <td />
    </tr>
  );
}

function windowOf(count: number, top: number, height: number): { from: number; to: number } {
  if (count <= WHOLE) return { from: 0, to: count };
  const many = Math.ceil((height || 400) / ROW) + 2 * AROUND;
  const from = Math.max(0, Math.min(Math.floor(top / ROW) - AROUND, count - many));
  return { from, to: Math.min(count, from + many) };
}

/** Up, down, and as it was. */
function next(order: Order | null, place: number): Order | null {
  if (order?.place !== place) return { place, direction: "ascending" };
  return order.direction === "ascending" ? { place, direction: "descending" } : null;
}

const long = (cell = "") => (cell.length > 24 ? cell : undefined);
