/** The files and buttons of a message, each shown as what it is. */

import type { FileRef } from "@parlour/client";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { EnclosedProps } from "../enclosed";
import { FileLink } from "../files";
import { adopt } from "../styles";
import css from "../styles/rich.css?inline";
import { Buttons } from "./buttons";
import { Figure } from "./figure";
import { Film, Framed, Paper, Sound } from "./media";
import { Picture } from "./picture";
import { Sheet } from "./sheet";

const PICTURE = /^image\/(png|jpe?g|gif|webp|avif|bmp|svg\+xml)$/;
const FIGURE = /^application\/vnd\.(plotly|vega|vegalite)\.v\d+\+json$/;

export function EnclosedViews({ files, actions }: EnclosedProps) {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, css);
  }, []);
  const pictures = files.filter(({ type = "" }) => PICTURE.test(type));
  const shown = files.filter((file) => !pictures.includes(file) && viewOf(file));
  const rest = files.filter((file) => !pictures.includes(file) && !viewOf(file));
  return (
    <div class="enclosed" ref={place}>
      {pictures.length > 0 && (
        <div class="pictures" data-many={pictures.length > 1}>
          {pictures.map((file) => (
            <Picture key={file.id} file={file} />
          ))}
        </div>
      )}
      {shown.map((file) => (
        <Shown key={file.id} file={file} />
      ))}
      {rest.length > 0 && (
        <ul class="files">
          {rest.map((file) => (
            <li key={file.id}>
              <FileLink file={file} />
            </li>
          ))}
        </ul>
      )}
      {actions.length > 0 && <Buttons actions={actions} />}
    </div>
  );
}

function viewOf({ type = "", view }: FileRef) {
  if (view === "table") return Sheet;
  if (view === "frame") return Framed;
  if (FIGURE.test(type)) return Figure;
  if (type.startsWith("audio/")) return Sound;
  if (type.startsWith("video/")) return Film;
  return type === "application/pdf" ? Paper : undefined;
}

function Shown({ file }: { file: FileRef }) {
  const View = viewOf(file);
  return View ? <View file={file} /> : null;
}
