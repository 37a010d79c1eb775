/** What stands below a table or a figure: what it is, and how to keep it. */

import type { FileRef } from "@parlour/client";
import type { ComponentChildren } from "preact";
import { useFileAddress } from "../files";
import { Icon } from "../icons";
import { fill, useTexts } from "../texts";

interface CaptionProps {
  file: FileRef;
  words?: ComponentChildren;
  /** What the file is, where there is more than one to keep. */
  label?: string;
  children?: ComponentChildren;
}

export function Caption({ file, words, label, children }: CaptionProps) {
  return (
    <figcaption class="caption">
      <span class="caption-words">{words ?? file.alt}</span>
      {children}
      <Download file={file} {...(label && { label })} />
    </figcaption>
  );
}

export function Download({ file, label }: { file: FileRef; label?: string }) {
  const texts = useTexts();
  const href = useFileAddress(file.id);
  if (!href) return null;
  return (
    <a
      class="tool"
      href={href}
      download={file.name}
      aria-label={fill(texts.downloadName, { name: file.name })}
    >
      <Icon name="save" />
      <span class="tool-words">{label ?? texts.download}</span>
    </a>
  );
}
