/** Files on the screen: chips of those on their way, pictures and links of those that are there. */

import { type FileRef, fileAddress } from "@parlour/client";
import { useContext, useEffect, useReducer, useRef, useState } from "preact/hooks";
import type { Chat } from "./chat";
import { size } from "./format";
import { Icon } from "./icons";
import { useSurroundings } from "./surroundings";
import { fill, Speech, type Texts, useTexts } from "./texts";
import { type Parcel, type Problem, Tray, type TrayOptions } from "./tray";

/** A tray that draws the component anew when something in it changes. */
export function useTray(options: Omit<TrayOptions, "chat">): Tray {
  const { chat } = useSurroundings();
  const [, draw] = useReducer((count: number) => count + 1, 0);
  const tray = useRef<Tray>(null);
  tray.current ??= new Tray({ chat, ...options });
  tray.current.changed = () => draw(0);
  return tray.current;
}

export function Chips({ tray }: { tray: Tray }) {
  const texts = useTexts();
  if (!tray.parcels.length) return null;
  return (
    <ul class="chips" aria-label={texts.attachedFiles}>
      {tray.parcels.map((parcel) => (
        <Chip key={parcel.key} tray={tray} parcel={parcel} />
      ))}
    </ul>
  );
}

function Chip({ tray, parcel }: { tray: Tray; parcel: Parcel }) {
  const { texts, tag } = useContext(Speech);
  const chip = useRef<HTMLLIElement>(null);
  const { key, name, problem, ref, share } = parcel;
  const remove = () => {
    const next = chip.current?.nextElementSibling ?? chip.current?.previousElementSibling;
    next?.querySelector("button")?.focus();
    tray.remove(key);
  };
  const moves = !ref && !problem;
  return (
    <li class={problem ? "chip failed" : "chip"} ref={chip}>
      <Icon name="file" />
      <ChipWords
        name={name}
        about={problem ? inWords(problem, texts, tag) : size(parcel.size, tag)}
      />
      {moves && <progress max={1} value={share} aria-label={fill(texts.uploading, { name })} />}
      {tray.mayRetry(parcel) && (
        <button type="button" class="link" onClick={() => tray.retry(key)}>
          {texts.tryAgain}
        </button>
      )}
      <button
        type="button"
        class="icon-button"
        aria-label={fill(moves ? texts.cancel : texts.remove, { name })}
        onClick={remove}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}

function inWords(problem: Problem, texts: Texts, tag: string): string {
  if (problem.name === "serverAnswered" && problem.message) return problem.message;
  const { name, ...values } = problem;
  const limit = problem.name === "fileTooLarge" ? { limit: size(problem.limit, tag) } : {};
  return fill(texts[name], { ...(values as Record<string, string | number>), ...limit });
}

function ChipWords({ name, about }: { name: string; about: string }) {
  return (
    <span class="chip-words">
      <span class="chip-name" title={name}>
        {name}
      </span>
      <span class="chip-size">{about}</span>
    </span>
  );
}

/** The files of a message: pictures small, the rest as links. */
export function FileList({ files }: { files: FileRef[] }) {
  if (!files.length) return null;
  return (
    <ul class="files">
      {files.map((file) => (
        <li key={file.id}>
          <FileLink file={file} />
        </li>
      ))}
    </ul>
  );
}

const PICTURES = /^image\/(png|jpe?g|gif|webp|avif|bmp|svg\+xml)$/;

export function FileLink({ file }: { file: FileRef }) {
  const { id, name, type = "", size: bytes = 0 } = file;
  const { tag } = useContext(Speech);
  const [broken, setBroken] = useState(false);
  const href = useFileAddress(id);
  const words = (
    <>
      <Icon name="file" />
      <ChipWords name={name} about={bytes ? size(bytes, tag) : ""} />
    </>
  );
  if (!href) return <span class="chip">{words}</span>;
  if (PICTURES.test(type) && !broken) {
    return (
      <a class="picture" href={href} target="_blank" rel="noopener">
        <img src={href} alt={name} onError={() => setBroken(true)} />
      </a>
    );
  }
  return (
    <a class="chip" href={href} download={name}>
      {words}
    </a>
  );
}

/** Where a file is, if that is known yet: a user without a cookie has to fetch it with a token. */
export function useFileAddress(id: string, view = ""): string | undefined {
  const { chat } = useSurroundings();
  // a shared conversation is read without a connection
  const token = (chat.client as Chat["client"] | undefined)?.connection.token;
  const address = fileAddress(chat.base, chat.conversation.session, id);
  const [own, setOwn] = useState<string>();
  useEffect(() => {
    if (!token) return;
    const end = new AbortController();
    let made = "";
    const headers = { Authorization: `Bearer ${token}` };
    fetch(address, { headers, signal: end.signal })
      .then((answer) => answer.blob())
      .then((blob) => {
        made = URL.createObjectURL(view === "frame" ? walled(blob) : blob);
        setOwn(made);
      })
      .catch(() => {}); // without a connection there is no file; the next time it is drawn
    return () => {
      end.abort();
      URL.revokeObjectURL(made);
    };
  }, [address, token, view]);
  if (token) return own;
  return view ? `${address}?view=${view}` : address;
}

/** A page as its server would send it: with a policy that keeps it from every host. */
function walled(page: Blob): Blob {
  const policy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
    "img-src data: blob:; media-src data: blob:; font-src data:";
  const meta = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${policy}">`;
  return new Blob([meta, page], { type: "text/html" });
}
