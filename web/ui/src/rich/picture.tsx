/** A picture, and the same as large as the screen allows. */

import type { FileRef } from "@parlour/client";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { FileLink, useFileAddress } from "../files";
import { Icon } from "../icons";
import { useTexts } from "../texts";
import { Download } from "./caption";

export function Picture({ file }: { file: FileRef }) {
  const texts = useTexts();
  const [broken, setBroken] = useState(false);
  const [large, setLarge] = useState(false);
  const href = useFileAddress(file.id);
  const { alt = file.name, width, height } = file;
  const size = width && height ? { width, height } : {};
  if (broken) return <FileLink file={file} />;
  return (
    <>
      <button
        type="button"
        class="picture"
        aria-haspopup="dialog"
        title={texts.enlarge}
        onClick={() => setLarge(true)}
      >
        <img src={href} alt={alt} {...size} onError={() => setBroken(true)} />
      </button>
      {large && href && <Large file={file} href={href} onClose={() => setLarge(false)} />}
    </>
  );
}

interface LargeProps {
  file: FileRef;
  href: string;
  onClose: () => void;
}

function Large({ file, href, onClose }: LargeProps) {
  const texts = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => dialog.current?.showModal(), []);
  const { alt = file.name } = file;
  return (
    <dialog
      class="large"
      ref={dialog}
      aria-label={alt}
      onClose={onClose}
      onKeyDown={(event) => event.stopPropagation()}
      onClick={({ target, currentTarget }) => target === currentTarget && dialog.current?.close()}
    >
      <div class="large-tools">
        <Download file={file} />
        <button
          type="button"
          class="icon-button"
          aria-label={texts.close}
          onClick={() => dialog.current?.close()}
        >
          <Icon name="close" />
        </button>
      </div>
      <img src={href} alt={alt} />
    </dialog>
  );
}
