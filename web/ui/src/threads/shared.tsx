/** What a link leads to: a conversation as it was, to be read and nothing else. */

import { type Item, Transcript } from "@parlour/client";
import { readShared } from "@parlour/client/threads";
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat";
import { moment } from "../format";
import { adopt } from "../styles";
import { type Surroundings, SurroundingsContext } from "../surroundings";
import { fill, type Language, Speech, speak } from "../texts";
import { Turn } from "../turns";
import css from "./shared.css?inline";
import { useThreadTexts } from "./texts";

interface SharedOptions {
  /** The server's address, with its path prefix. */
  base: URL;
  token: string;
  heading: string;
}

export async function showShared(root: ShadowRoot, options: SharedOptions): Promise<void> {
  adopt(root, css);
  const language = await speak(navigator.languages);
  document.documentElement.lang = language.tag;
  document.documentElement.dir = language.direction;
  render(
    <Speech.Provider value={language}>
      <Shared language={language} {...options} />
    </Speech.Provider>,
    root,
  );
}

interface Told {
  title: string;
  at: number;
  transcript: Transcript;
}

function Shared({ language, base, token, heading }: SharedOptions & { language: Language }) {
  const texts = useThreadTexts();
  const [told, setTold] = useState<Told | null>(null);
  const [missing, setMissing] = useState(false);
  const [said, announce] = useState("");
  useEffect(() => {
    readAll(base, token, setTold).catch(() => setMissing(true));
  }, []);
  const around = useRef<Surroundings>(null);
  around.current ??= surroundings(base, token, announce);
  if (told) around.current.chat.conversation = conversation(told.transcript);
  return (
    <SurroundingsContext.Provider value={around.current}>
      <div class="chat shared" lang={language.tag} dir={language.direction} data-theme="system">
        <main class="shared-page">
          <div class="column">
            <p class="shared-by">{heading}</p>
            {told && texts && (
              <>
                <h1 dir="auto">{told.title || heading}</h1>
                <p class="help">
                  {fill(texts.sharedAt, { date: moment(told.at, language.tag) ?? "" })}
                </p>
                <div id="transcript">
                  {asItWas(told.transcript).map((item) => (
                    <Turn key={item.key} item={item} last={false} />
                  ))}
                </div>
              </>
            )}
            {missing && texts && (
              <>
                <h1>{texts.notShared}</h1>
                <p>{texts.notSharedWhy}</p>
              </>
            )}
            <p class="unseen" role="status">
              {said}
            </p>
          </div>
        </main>
      </div>
    </SurroundingsContext.Provider>
  );
}

/** Reads page after page, and tells of each. */
async function readAll(base: URL, token: string, tell: (told: Told) => void): Promise<void> {
  const transcript = new Transcript();
  let after: number | undefined = 0;
  while (after !== undefined) {
    const page = await readShared(base, token, after);
    for (const frame of page.frames) transcript.addRecords(frame, 0);
    tell({ title: page.title, at: page.at, transcript });
    after = page.next;
  }
}

/** Nobody can answer here. */
function asItWas(transcript: Transcript): Item[] {
  return transcript.items.map((item) =>
    item.kind === "question" && item.state === "open" ? { ...item, state: "answered" } : item,
  );
}

const nothing = () => {};

/** As much of a chat as turns need: where files are, and which conversation this is. */
function surroundings(base: URL, token: string, announce: (words: string) => void): Surroundings {
  const chat = {
    base: new URL(`shared/${encodeURIComponent(token)}/`, base),
    conversation: conversation(new Transcript()),
    subscribe: () => nothing,
  } as unknown as Chat;
  return {
    chat,
    announce,
    toEnd: nothing,
    stay: nothing,
    giveBack: nothing,
    rewrite: nothing,
    show: nothing,
    offerTray: nothing,
  };
}

function conversation(transcript: Transcript): Chat["conversation"] {
  return { session: "-", transcript, underway: [] } as unknown as Chat["conversation"];
}
