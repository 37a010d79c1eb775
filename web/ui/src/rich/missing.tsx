/** In the place of what could not be fetched or drawn: why, and the file itself. */

import type { FileRef } from "@parlour/client";
import { FileLink } from "../files";
import { useTexts } from "../texts";

interface MissingProps {
  file: FileRef;
  words?: string;
  again?: () => void;
}

export function Missing({ file, words, again }: MissingProps) {
  const texts = useTexts();
  return (
    <div class="missing">
      <p class="help">{words ?? texts.notShown}</p>
      <FileLink file={file} />
      {again && (
        <button type="button" class="link" onClick={again}>
          {texts.tryAgain}
        </button>
      )}
    </div>
  );
}
