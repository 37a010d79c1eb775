/** Pictures for lists and branches; see `../icons`. */

const PATHS = {
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5 20 20",
  more: "M5.5 12h.01M12 12h.01M18.5 12h.01",
  rename: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  share: "M12 15V4M8 7.5 12 3.5l4 4M5 12v7h14v-7",
  keep: "M12 4v11M7.5 10.5 12 15l4.5-4.5M5 19h14",
  erase: "M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7M10.5 11v5M13.5 11v5",
  again: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4.5V9H15",
  earlier: "m14 6-6 6 6 6",
  later: "m10 6 6 6-6 6",
  copy: "M9 9V6a2 2 0 0 1 2-2h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-3M6 9h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "m7 7 10 10M17 7 7 17",
  fresh: "M12 5v14M5 12h14",
} as const;

export function Sign({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" data-icon={name}>
      <path d={PATHS[name]} />
    </svg>
  );
}
