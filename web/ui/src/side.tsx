/** Where the list of conversations is: beside the one that is shown or, where it is narrow, over it. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "./chat";
import { lazily } from "./lazily";

const NARROW = 900;

const Panel = lazily(
  () => import("./threads").then((found) => found.Panel),
  () => <div class="threads" />,
);

export interface PanelState {
  open: boolean;
  /** It lies over the conversation. */
  drawer: boolean;
  toggle: () => void;
  close: () => void;
}

/** Whether it is open beside the conversation is remembered; over it, it opens only when asked. */
export function usePanel(chat: Chat, frame: { current: HTMLElement | null }): PanelState {
  const [narrow, setNarrow] = useState<boolean | null>(null);
  const [beside, setBeside] = useState(() => chat.browser.read("panel") === true);
  const [over, setOver] = useState(false);
  useEffect(() => {
    if (!frame.current) return;
    const watch = new ResizeObserver(([entry]) =>
      setNarrow((entry?.contentRect.width ?? 0) < NARROW),
    );
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, [frame]);
  const drawer = narrow === true;
  const open = drawer ? over : narrow === false && beside;
  const turn = (now: boolean) => {
    if (drawer) {
      setOver(now);
      return;
    }
    setBeside(now);
    chat.browser.write("panel", now || null);
  };
  return { open, drawer, toggle: () => turn(!open), close: () => turn(false) };
}

export function Side({ panel }: { panel: PanelState }) {
  const { open, drawer, close } = panel;
  if (!open) return null;
  if (drawer) return <Drawer close={close} />;
  return (
    <aside class="side">
      <Panel drawer={false} close={close} />
    </aside>
  );
}

/** The browser keeps the focus in it and gives it back; Esc and a click beside it close it. */
function Drawer({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      class="side drawer"
      ref={dialog}
      onClose={close}
      onKeyDown={(event) => event.key === "Escape" && event.stopPropagation()}
      onClick={({ target }) => target === dialog.current && close()}
    >
      <Panel drawer={true} close={close} />
    </dialog>
  );
}
