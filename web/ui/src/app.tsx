/** The chat as a whole: its head, the conversation, the composer, and what concerns all of them. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useAttendance } from "./attendance";
import type { Chat } from "./chat";
import { Composer, type ComposerHandle } from "./composer";
import { useChanges } from "./drawing";
import { useDrop } from "./drop";
import type { Follow } from "./follow";
import { Head } from "./head";
import { lazily } from "./lazily";
import { Side, usePanel } from "./side";
import { type Surroundings, SurroundingsContext } from "./surroundings";
import { inOwnWords, type Language, Speech } from "./texts";
import { useTheme } from "./theme";
import { Transcript } from "./transcript";
import type { Tray } from "./tray";
import { Ended } from "./trouble";

const AskKeys = lazily(
  () => import("./keys").then(({ AskKeys }) => AskKeys),
  () => null,
);

interface AppProps {
  chat: Chat;
  language: Language;
  heading: string;
  /** As the page wants it; "" leaves it to the user. */
  theme: string;
}

export function App({ chat, language: spoken, heading: given, theme }: AppProps) {
  useChanges(chat);
  const { offer } = chat;
  const language = useMemo(() => inOwnWords(spoken, offer?.texts), [spoken, offer?.texts]);
  const heading = given || offer?.title || "";
  const frame = useRef<HTMLDivElement>(null);
  const composer = useRef<ComposerHandle>(null);
  const follow = useRef<Follow>(null);
  const [asks, setAsks] = useState<Tray | null>(null);
  const [said, announce] = useState("");
  const look = useTheme(chat.browser, theme);
  const panel = usePanel(chat, frame);
  const dropping = useDrop(frame, chat, () => asks ?? composer.current?.tray);

  const surroundings = useRef<Surroundings>({
    chat,
    announce,
    toEnd: () => follow.current?.toEnd(),
    stay: () => follow.current?.stay(),
    giveBack: (text, files) => composer.current?.giveBack(text, files),
    rewrite: (text, files) => composer.current?.rewrite(text, files),
    show: (element) => follow.current?.show(element),
    offerTray: setAsks,
  });

  useLanguageOfPage(chat, language);
  useAttendance(chat, { frame, composer, follow });
  useEffect(() => {
    chat.attention.notice(language.texts);
  });
  const stopOnEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    if (chat.conversation.transcript.questions.length) return;
    if (!frame.current?.querySelector(":popover-open")) chat.conversation.stop();
  };
  useKeys(frame, chat, stopOnEscape);

  const { conversation } = chat;
  const Main = chat.standalone ? "main" : "div";
  const over = conversation.transcript.closed || conversation.trouble !== null;
  return (
    <Speech.Provider value={language}>
      <SurroundingsContext.Provider value={surroundings.current}>
        <div
          class="chat"
          lang={language.tag}
          dir={language.direction}
          data-theme={look.shown}
          data-dropping={dropping}
          ref={frame}
        >
          {offer?.styled && <link rel="stylesheet" href={new URL("looks.css", chat.base).href} />}
          <Side panel={panel} />
          <div class="stage">
            <Head heading={heading} look={look} said={said} panel={panel} />
            <Main class="main">
              <Transcript
                key={`t${conversationKey(conversation)}`}
                heading={heading}
                follow={follow}
              >
                <Ended />
              </Transcript>
              {!over && chat.missingKeys.length > 0 && <AskKeys keys={chat.missingKeys} />}
              {!over && (
                <Composer
                  key={`c${conversationKey(conversation)}`}
                  handle={composer}
                  dropping={dropping && !asks}
                />
              )}
            </Main>
          </div>
        </div>
      </SurroundingsContext.Provider>
    </Speech.Provider>
  );
}

const keys = new WeakMap<object, number>();
let last = 0;

/** Another conversation is shown by views of its own. */
function conversationKey(conversation: object): number {
  let key = keys.get(conversation);
  if (key === undefined) {
    last += 1;
    key = last;
    keys.set(conversation, key);
  }
  return key;
}

function useLanguageOfPage({ standalone }: Chat, { tag, direction }: Language): void {
  useEffect(() => {
    if (!standalone) return;
    document.documentElement.lang = tag;
    document.documentElement.dir = direction;
  }, [standalone, tag, direction]);
}

/** Keys count wherever they are pressed on a page that is ours, and elsewhere within the chat. */
function useKeys(
  frame: { current: HTMLElement | null },
  { standalone }: Chat,
  onKey: (event: KeyboardEvent) => void,
): void {
  const handler = useRef(onKey);
  handler.current = onKey;
  useEffect(() => {
    const place: HTMLElement | Document | null = standalone ? document : frame.current;
    const listener = (event: Event) => handler.current(event as KeyboardEvent);
    place?.addEventListener("keydown", listener);
    return () => place?.removeEventListener("keydown", listener);
  }, [frame, standalone]);
}
