/** The app's own settings, as fields: what the user may set in this conversation and the next. */

import type { Offer } from "@parlour/client";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { begin, read } from "./form/entered";
import { type Field, formOf, Unreadable } from "./form/fields";
import { FieldView } from "./form/view";
import { adopt } from "./styles";
import sheet from "./styles/panel.css?inline";
import { useSurroundings } from "./surroundings";
import { fill, useTexts } from "./texts";

export function Preferences({ settings }: { settings: NonNullable<Offer["settings"]> }) {
  const texts = useTexts();
  const { chat, announce } = useSurroundings();
  const place = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, sheet);
  }, []);
  const [form] = useState(() => withoutGaps(formOf(settings.schema, texts.settings)));
  const { transcript } = chat.conversation;
  const [entered, enter] = useState(() =>
    begin(form, transcript.settings ?? { ...settings.defaults }),
  );
  const [problem, complain] = useState("");
  const [state, setState] = useState<"" | "saving" | "saved">("");

  const save = async (event: Event) => {
    event.preventDefault();
    complain("");
    try {
      const values = read(form, entered);
      setState("saving");
      const refused = await chat.configure(values);
      complain(refused);
      setState(refused ? "" : "saved");
      if (!refused) announce(texts.saved);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      complain(fill(texts.notJson, { name: error.field.title }));
    }
  };
  return (
    <form class="entry preferences" aria-label={form.title} onSubmit={save} ref={place}>
      <FieldView
        field={form}
        entered={entered}
        enter={(value) => {
          enter(value);
          setState("");
        }}
        outermost
      />
      <p class="problem" role="alert">
        {problem}
      </p>
      <button type="submit" class="primary" disabled={state === "saving"}>
        {state === "saved" ? texts.saved : texts.save}
      </button>
    </form>
  );
}

/** Every field has a default, so none is an optional one to be left out. */
function withoutGaps(form: Field): Field {
  if (form.kind !== "group") return form;
  const members = form.members.map((member) => ({
    ...member,
    field: { ...withoutGaps(member.field), must: !member.field.nullable },
  }));
  return { ...form, members };
}
