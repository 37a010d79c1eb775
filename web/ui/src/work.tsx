/** The parts of the bot's work, and how far it is; fetched with the first of them. */

import type { PartItem, Progress } from "@parlour/client";
import { lazily } from "./lazily";

export const Part = lazily<{ item: PartItem }>(
  () => import("./rich/part").then(({ PartTurn }) => PartTurn),
  ({ item }) => <div class="turn part">{item.name}</div>,
);

export const ProgressLine = lazily<{ progress: Progress }>(
  () => import("./rich/part").then(({ ProgressLine }) => ProgressLine),
  () => <div class="typing" />,
);
