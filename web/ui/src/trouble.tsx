/** What the user should know: that the connection is gone, or that there is no conversation. */

import { useEffect, useState } from "preact/hooks";
import { useSurroundings } from "./surroundings";
import { refusal, useTexts } from "./texts";

/** A connection that comes back sooner was hardly gone. */
const PATIENCE = 700;
const LONG = 1500;

/**
 * The one line for those who listen: that the connection is gone, which all can see, or `said`,
 * which the others see elsewhere.
 */
export function Status({ said }: { said: string }) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const { transcript, trouble } = chat.conversation;
  const fine = transcript.live || !!trouble;
  const [known, setKnown] = useState(false);
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (fine) {
      setLate(false);
      setKnown(true);
      return;
    }
    const timer = setTimeout(() => setLate(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [fine]);
  if (fine || !late) {
    return (
      <p id="status" class="unseen" role="status">
        {said}
      </p>
    );
  }
  const { state, due } = chat.client.connection;
  const long = state === "waiting" && due - Date.now() > LONG;
  return (
    <p id="status" role="status">
      <span>{known || transcript.place ? texts.reconnecting : texts.connecting}</span>
      {long && (
        <button type="button" class="link" onClick={() => chat.client.connection.wake()}>
          {texts.tryNow}
        </button>
      )}
    </p>
  );
}

/** Where the conversation ends, or could not begin. */
export function Ended() {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const { trouble, transcript } = chat.conversation;
  const missing = trouble?.code === "unknown_session";
  if (!trouble && !transcript.closed) return null;
  if (trouble?.code === "unsupported_version") {
    return (
      <div class="ended">
        <h2>{texts.cannotBegin}</h2>
        <p>{texts.versionsDiffer}</p>
        <a class="primary button" href={location.href}>
          {texts.reload}
        </a>
      </div>
    );
  }
  return (
    <div class="ended">
      {trouble && <h2>{missing ? texts.notHere : texts.cannotBegin}</h2>}
      {trouble && (
        <p>{missing ? texts.notHereWhy : refusal(texts, trouble.code, trouble.message)}</p>
      )}
      <NewConversation class="primary button">{texts.newConversation}</NewConversation>
    </div>
  );
}

interface NewConversationProps {
  class: string;
  "aria-label"?: string;
  title?: string;
  onEnter?: () => void;
  children: preact.ComponentChildren;
}

/** A link, so that it opens in other tabs too; a plain click stays in this one. */
export function NewConversation(props: NewConversationProps) {
  return <ConversationLink session="" {...props} />;
}

interface ConversationLinkProps extends NewConversationProps {
  session: string;
  "aria-current"?: "page" | undefined;
}

export function ConversationLink({ session, onEnter, ...rest }: ConversationLinkProps) {
  const { chat } = useSurroundings();
  const go = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    chat.enter(session);
    onEnter?.();
  };
  return <a href={chat.href(session)} onClick={go} {...rest} />;
}
