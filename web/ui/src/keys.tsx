/**
 * Keys that the user brings. They are kept in this browser and sent to the server, which keeps them
 * only while it needs them; what was entered is never shown again.
 */

import type { Key } from "@parlour/client";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Markdown } from "./markdown/markdown";
import { adopt } from "./styles";
import sheet from "./styles/panel.css?inline";
import { useSurroundings } from "./surroundings";
import { fill, useTexts } from "./texts";

/** What must be brought before it can go on. */
export function AskKeys({ keys }: { keys: Key[] }) {
  const texts = useTexts();
  const { announce } = useSurroundings();
  const place = useSheet();
  return (
    <section class="column ask-keys" aria-label={texts.keys} ref={place}>
      <p>{texts.keysWhy}</p>
      {keys.map((key) => (
        <KeyField key={key.name} asked={key} done={() => announce(texts.saved)} />
      ))}
    </section>
  );
}

/** All keys, in the settings. */
export function Keys({ keys }: { keys: Key[] }) {
  const texts = useTexts();
  const place = useSheet();
  return (
    <section class="keys" ref={place}>
      <h3>{texts.keys}</h3>
      {keys.map((key) => (
        <KeptKey key={key.name} asked={key} />
      ))}
      <p class="help">{texts.keysWhere}</p>
    </section>
  );
}

function KeptKey({ asked }: { asked: Key }) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const [replaces, replace] = useState(false);
  if (replaces || !chat.has(asked)) {
    return <KeyField asked={asked} done={() => replace(false)} />;
  }
  return (
    <div class="kept">
      <bdi>{asked.label || asked.name}</bdi>
      <span class="help">{texts.keyIsSet}</span>
      <button type="button" class="link" onClick={() => replace(true)}>
        {texts.replace}
      </button>
      <button type="button" class="link" onClick={() => chat.bring({ [asked.name]: "" })}>
        {texts.forget}
      </button>
    </div>
  );
}

function KeyField({ asked, done }: { asked: Key; done: () => void }) {
  const texts = useTexts();
  const { chat } = useSurroundings();
  const id = useId();
  const [value, write] = useState("");
  const label = asked.label || asked.name;
  const save = (event: Event) => {
    event.preventDefault();
    chat.bring({ [asked.name]: value.trim() });
    write("");
    done();
  };
  return (
    <form class="entry key" onSubmit={save}>
      <label for={id}>
        <bdi>{label}</bdi>
        {asked.required === false && <span class="optional"> {texts.optional}</span>}
      </label>
      {asked.help && (
        <div class="help" dir="auto">
          <Markdown text={asked.help} whole />
        </div>
      )}
      <div class="row">
        <input
          id={id}
          type="password"
          dir="ltr"
          required
          value={value}
          autocomplete="off"
          spellcheck={false}
          onInput={({ currentTarget }) => write(currentTarget.value)}
        />
        <button
          type="submit"
          class="secondary"
          aria-label={fill(texts.saveKey, { name: label })}
          disabled={!value.trim()}
        >
          {texts.save}
        </button>
      </div>
    </form>
  );
}

function useSheet() {
  const place = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, sheet);
  }, []);
  return place;
}
