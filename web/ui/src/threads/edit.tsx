/** Above the field while an earlier message is edited: what that means, and the way out of it. */

import { useEffect, useRef } from "preact/hooks";
import { adopt } from "../styles";
import { Sign } from "./icons";
import { useThreadTexts } from "./texts";
import css from "./tools.css?inline";

export function EditBar({ cancel }: { cancel: () => void }) {
  const texts = useThreadTexts();
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current) adopt(place.current, css);
  }, []);
  return (
    <div class="edit-bar" ref={place}>
      {texts && (
        <>
          <Sign name="rename" />
          <p role="status">{texts.editing}</p>
          <button
            type="button"
            class="icon-button"
            aria-label={texts.cancel}
            title={texts.cancel}
            onClick={cancel}
          >
            <Sign name="close" />
          </button>
        </>
      )}
    </div>
  );
}
