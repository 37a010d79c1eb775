/** Light or dark: as the page wants it, else as the user chose, else as the system is. */

import type { Shelf } from "@parlour/client";
import { useState } from "preact/hooks";

export type Theme = "light" | "dark" | "system";

export interface Look {
  /** What is shown. */
  shown: Theme;
  /** null: the page decides. */
  choose: ((theme: Theme) => void) | null;
}

const THEMES: readonly unknown[] = ["light", "dark", "system"];
const isTheme = (value: unknown): value is Theme => THEMES.includes(value);

export function useTheme(shelf: Shelf, wanted: string): Look {
  const [chosen, setChosen] = useState<unknown>(() => shelf.read("theme"));
  if (isTheme(wanted)) return { shown: wanted, choose: null };
  const choose = (theme: Theme) => {
    shelf.write("theme", theme === "system" ? null : theme);
    setChosen(theme);
  };
  return { shown: isTheme(chosen) ? chosen : "system", choose };
}
