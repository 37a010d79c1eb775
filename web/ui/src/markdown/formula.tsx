/** A formula: its source until KaTeX is there, which is fetched when the first one is shown. */

import { useEffect, useRef, useState } from "preact/hooks";

interface FormulaProps {
  text: string;
  display: boolean;
}

export function Formula({ text, display }: FormulaProps) {
  const place = useRef<HTMLSpanElement>(null);
  const [typeset, setTypeset] = useState<typeof import("./typeset").typeset>();
  useEffect(() => {
    void import("./typeset").then((module) => setTypeset(() => module.typeset));
  }, []);
  useEffect(() => {
    if (place.current) typeset?.(place.current, text, display);
  }, [typeset, text, display]);
  return (
    <span
      class={display ? "formula display" : "formula"}
      tabIndex={display ? 0 : undefined}
      ref={place}
    >
      {typeset ? null : text}
    </span>
  );
}
