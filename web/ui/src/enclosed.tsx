/** What a message brings besides words; the views themselves are fetched with the first of it. */

import type { Action, FileRef } from "@parlour/client";
import { lazily } from "./lazily";

export interface EnclosedProps {
  files: FileRef[];
  actions: Action[];
}

const Views = lazily<EnclosedProps>(
  () => import("./rich/enclosed").then(({ EnclosedViews }) => EnclosedViews),
  ({ files }) => (
    <div
      ref={(place) => {
        const height = files.reduce((sum, file) => sum + heightOf(file), 0);
        if (place) place.style.height = `${height}px`;
      }}
    />
  ),
);

export function Enclosed({ files, actions }: EnclosedProps) {
  return files.length || actions.length ? <Views files={files} actions={actions} /> : null;
}

/** About how high a file stands on the screen. */
function heightOf({ type = "", view, height = 0 }: FileRef): number {
  if (view === "table" || type.endsWith("+json")) return height || 320;
  if (view === "frame") return height;
  return type.startsWith("image/") ? Math.min(height || 200, 448) : 60;
}
