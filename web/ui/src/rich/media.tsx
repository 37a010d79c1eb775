/** Sound, films, papers, and pages in a frame of their own. */

import type { FileRef } from "@parlour/client";
import { useState } from "preact/hooks";
import { FileLink, useFileAddress } from "../files";
import { Icon } from "../icons";
import { useSurroundings } from "../surroundings";
import { useTexts } from "../texts";
import { Caption } from "./caption";

interface Props {
  file: FileRef;
}

export function Sound({ file }: Props) {
  const href = useFileAddress(file.id);
  const [broken, setBroken] = useState(false);
  if (broken) return <FileLink file={file} />;
  return (
    <figure class="medium">
      {/* biome-ignore lint/a11y/useMediaCaption: what is heard is said in words below */}
      <audio
        controls
        preload="metadata"
        src={href}
        aria-label={file.alt || file.name}
        onError={() => setBroken(true)}
      />
      <Caption file={file} words={file.alt || file.name} />
    </figure>
  );
}

export function Film({ file }: Props) {
  const href = useFileAddress(file.id);
  const [broken, setBroken] = useState(false);
  if (broken) return <FileLink file={file} />;
  return (
    <figure class="medium">
      {/* biome-ignore lint/a11y/useMediaCaption: what is seen is said in words below */}
      <video
        controls
        playsInline
        preload="metadata"
        src={href}
        aria-label={file.alt || file.name}
        onError={() => setBroken(true)}
      />
      <Caption file={file} words={file.alt || file.name} />
    </figure>
  );
}

/** A PDF: read here where the browser has a reader, else in a tab of its own. */
export function Paper({ file }: Props) {
  const texts = useTexts();
  const href = useFileAddress(file.id);
  const { stay } = useSurroundings();
  const [open, setOpen] = useState(false);
  const turn = () => {
    stay();
    setOpen(!open);
  };
  return (
    <figure class="medium paper" data-open={open}>
      {open && <iframe title={file.alt || file.name} src={href} />}
      <Caption
        file={file}
        words={
          <>
            <Icon name="file" />
            {href ? (
              <a href={href} target="_blank" rel="noopener">
                {file.alt || file.name}
              </a>
            ) : (
              file.alt || file.name
            )}
          </>
        }
      >
        {navigator.pdfViewerEnabled && href && (
          <button type="button" class="tool" aria-expanded={open} onClick={turn}>
            <Icon name="open" />
            <span>{open ? texts.hide : texts.show}</span>
          </button>
        )}
      </Caption>
    </figure>
  );
}

/** Its scripts run, but in no origin: they reach neither this page nor, by its policy, any host. */
export function Framed({ file }: Props) {
  const href = useFileAddress(file.id, "frame");
  const height = (frame: HTMLIFrameElement | null) => {
    if (frame) frame.style.height = `${file.height ?? 400}px`;
  };
  return (
    <figure class="medium">
      <iframe title={file.alt || file.name} sandbox="allow-scripts" src={href} ref={height} />
      <Caption file={file} words={file.alt || file.name} />
    </figure>
  );
}
