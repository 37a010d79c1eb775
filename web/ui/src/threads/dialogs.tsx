/** Dialogs about one conversation: its links, and its end. */

import type { Link, Thread } from "@parlour/client/threads";
import type { ComponentChildren } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { moment } from "../format";
import { useSurroundings } from "../surroundings";
import { fill, refusal, Speech } from "../texts";
import { Sign } from "./icons";
import { requestsOf } from "./requests";
import type { ThreadTexts } from "./texts";

const COPIED_FOR = 2_000;

interface DialogProps {
  label: string;
  texts: ThreadTexts;
  close: () => void;
  children: ComponentChildren;
}

/** The browser keeps the focus in it, ends it with Esc, and gives the focus back. */
function Dialog({ label, texts, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      class="dialog"
      aria-label={label}
      ref={dialog}
      onClose={close}
      onKeyDown={(event) => event.key === "Escape" && event.stopPropagation()}
      onClick={({ target }) => target === dialog.current && dialog.current?.close()}
    >
      <div class="dialog-inside">
        <header>
          <h2>{label}</h2>
          <button
            type="button"
            class="icon-button"
            aria-label={texts.close}
            title={texts.close}
            onClick={() => dialog.current?.close()}
          >
            <Sign name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

interface EraseProps {
  thread: Thread;
  texts: ThreadTexts;
  gone: () => void;
  close: () => void;
}

export function Erase({ thread, texts, gone, close }: EraseProps) {
  const { chat } = useSurroundings();
  const [busy, setBusy] = useState(false);
  const { problem, trying } = useAttempts(texts);
  const erase = trying(async () => {
    setBusy(true);
    try {
      await requestsOf(chat).erase(thread.session);
    } catch (error) {
      // somebody was quicker, in another tab
      if ((error as { status?: number }).status !== 404) throw error;
    } finally {
      setBusy(false);
    }
    gone();
  });
  return (
    <Dialog label={texts.eraseThis} texts={texts} close={close}>
      <p>{fill(texts.eraseWhy, { title: thread.title })}</p>
      <Problem>{problem}</Problem>
      <footer>
        <button type="button" class="secondary" onClick={close}>
          {texts.cancel}
        </button>
        <button type="button" class="primary destroys" disabled={busy} onClick={erase}>
          {texts.erase}
        </button>
      </footer>
    </Dialog>
  );
}

interface ShareProps {
  session: string;
  texts: ThreadTexts;
  close: () => void;
}

export function Share({ session, texts, close }: ShareProps) {
  const { tag } = useContext(Speech);
  const { chat, announce } = useSurroundings();
  const [links, setLinks] = useState<Link[]>([]);
  const [copied, setCopied] = useState("");
  const { problem, trying } = useAttempts(texts);
  const load = trying(async () => setLinks((await requestsOf(chat).links()).shares));
  useEffect(load, []);
  const address = ({ token }: Link) => new URL(`shared/${token}`, chat.base).href;
  const make = trying(async () => {
    const link = await requestsOf(chat).share(session);
    setLinks([link, ...links]);
    await copy(link);
  });
  const copy = async (link: Link) => {
    try {
      await navigator.clipboard.writeText(address(link));
    } catch {
      return; // the address can be read and copied by hand
    }
    setCopied(link.token);
    announce(texts.copied);
    setTimeout(() => setCopied(""), COPIED_FOR);
  };
  const revoke = (link: Link) =>
    trying(async () => {
      await requestsOf(chat).unshare(link.token);
      setLinks(links.filter(({ token }) => token !== link.token));
    });
  const own = (link: Link) => (link.session === session ? 0 : 1);
  return (
    <Dialog label={texts.shareThis} texts={texts} close={close}>
      <p>{texts.shareWhy}</p>
      <button type="button" class="primary" onClick={make}>
        {texts.makeLink}
      </button>
      <Problem>{problem}</Problem>
      {links.length > 0 && (
        <>
          <h3>{texts.links}</h3>
          <ul class="links">
            {links
              .toSorted((one, other) => own(one) - own(other))
              .map((link) => (
                <li key={link.token}>
                  <span class="link-about">
                    <span dir="auto">{link.title}</span>
                    <span class="help">{moment(link.at, tag)}</span>
                    <a href={address(link)} target="_blank" rel="noopener" dir="ltr">
                      {address(link)}
                    </a>
                  </span>
                  <button
                    type="button"
                    class="icon-button"
                    aria-label={texts.copyLink}
                    title={texts.copyLink}
                    onClick={() => void copy(link)}
                  >
                    <Sign name={copied === link.token ? "check" : "copy"} />
                  </button>
                  <button type="button" class="quiet" onClick={revoke(link)}>
                    {texts.revoke}
                  </button>
                </li>
              ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}

function Problem({ children }: { children: ComponentChildren }) {
  return (
    <p class="problem" role="alert">
      {children}
    </p>
  );
}

/** Does what may fail, and says so. */
function useAttempts(texts: ThreadTexts) {
  const { texts: common } = useContext(Speech);
  const [problem, setProblem] = useState("");
  const trying = (work: () => Promise<void>) => () => {
    setProblem("");
    work().catch(({ code = "", message = "" }) =>
      setProblem(refusal(common, code, message) || texts.failed),
    );
  };
  return { problem, trying };
}
