/** A question in the transcript: what is asked, the controls while it is open, and how it ended. */

import type { QuestionItem } from "@parlour/client";
import { useContext, useId } from "preact/hooks";
import { moment } from "../format";
import { Markdown } from "../markdown/markdown";
import { Speech } from "../texts";
import { Speaker } from "../turns";
import { Controls } from "./controls";

export function QuestionTurn({ item }: { item: QuestionItem }) {
  const { texts, tag } = useContext(Speech);
  const label = useId();
  const ends = { timeout: texts.timeRanOut, withdrawn: texts.notAskedAnyMore };
  const end = item.state === "timeout" || item.state === "withdrawn" ? ends[item.state] : "";
  return (
    <div class="turn bot asks" title={moment(item.at, tag)}>
      <Speaker name={texts.question} />
      <div class="prose" dir="auto" id={label}>
        <Markdown text={item.text} whole />
      </div>
      {item.note && <p class="note">{item.note}</p>}
      {item.state === "open" && <Controls item={item} label={label} />}
      {end && <p class="state">{end}</p>}
    </div>
  );
}
