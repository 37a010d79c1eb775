/** How far something is: a bar that runs where nobody knows how much there is. */

import type { Progress } from "@parlour/client";
import { useContext, useEffect, useRef } from "preact/hooks";
import { adopt } from "../styles";
import css from "../styles/rich.css?inline";
import { Speech } from "../texts";

export function ProgressLine({ progress }: { progress: Progress }) {
  const { texts, tag } = useContext(Speech);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current) adopt(place.current, css);
  }, []);
  const { done, total, text = "" } = progress;
  const share = total ? Math.min(1, done / total) : undefined;
  const format = new Intl.NumberFormat(tag, { maximumFractionDigits: 1 });
  const far = total === undefined ? "" : `${format.format(done)} / ${format.format(total)}`;
  return (
    <div class="progress" ref={place}>
      <progress
        aria-label={text || texts.answering}
        {...(share === undefined ? {} : { value: share })}
      />
      <span class="progress-words">
        <span>{text}</span>
        <span class="figures">{far}</span>
      </span>
    </div>
  );
}
