/** Buttons under a message: each sends its signal, and says so until that has arrived. */

import type { Action } from "@parlour/client";
import { useState } from "preact/hooks";
import { useSurroundings } from "../surroundings";
import { refusal, useTexts } from "../texts";

export function Buttons({ actions }: { actions: Action[] }) {
  const texts = useTexts();
  const { chat, toEnd } = useSurroundings();
  const [pressed, setPressed] = useState<{ id: string; place: number }>();
  const { conversation } = chat;
  // who reads a shared conversation has nothing to send
  const outbox = conversation.outbox as typeof conversation.outbox | undefined;
  const under = pressed && outbox?.get(pressed.id);
  const refused = pressed && conversation.refusedSignals.get(pressed.id);
  const press = ({ signal, data }: Action, place: number) => {
    setPressed({ id: conversation.signal(signal, data), place });
    toEnd();
  };
  if (!outbox || conversation.transcript.closed) return null;
  return (
    <div class="buttons">
      <div class="row">
        {actions.map((action, place) => (
          <button
            type="button"
            class="secondary"
            aria-busy={under && pressed?.place === place}
            disabled={!!under}
            onClick={() => press(action, place)}
          >
            {action.label}
          </button>
        ))}
      </div>
      {refused && (
        <p class="problem" role="alert">
          {refusal(texts, refused.code, refused.message)}
        </p>
      )}
    </div>
  );
}
