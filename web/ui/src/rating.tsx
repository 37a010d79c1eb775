/** What the user thinks of an answer: a thumb, which can be changed, and a reason. */

import type { BotItem, Rating as Thumb } from "@parlour/client";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icons";
import { adopt } from "./styles";
import sheet from "./styles/rating.css?inline";
import { useSurroundings } from "./surroundings";
import { useTexts } from "./texts";

const MOST = 4000;

export function Rating({ item }: { item: BotItem }) {
  const texts = useTexts();
  const { chat, announce } = useSurroundings();
  const place = useRef<HTMLDivElement>(null);
  /** What was chosen here and is not recorded yet. */
  const [mine, choose] = useState<Thumb | null>(null);
  const [asks, ask] = useState(false);
  useLayoutEffect(() => {
    if (place.current) adopt(place.current, sheet);
  }, []);
  useEffect(() => choose(null), [item.rating]);

  const { seq = 0, rating } = item;
  const shown = mine ?? rating?.rating ?? "";
  const rate = (thumb: Thumb, reason = "") => {
    choose(thumb);
    chat.conversation.rate(seq, thumb, reason);
    announce(thumb ? texts.thanksForRating : texts.ratingTakenBack);
  };
  const press = (thumb: Thumb) => {
    const on = thumb !== shown;
    rate(on ? thumb : "");
    ask(on);
  };
  return (
    <div class={shown ? "rating rated" : "rating"} ref={place}>
      <fieldset class="thumbs bare" aria-label={texts.rateThis}>
        <ThumbButton thumb="up" label={texts.goodAnswer} on={shown === "up"} press={press} />
        <ThumbButton thumb="down" label={texts.badAnswer} on={shown === "down"} press={press} />
        {rating?.reason && !asks && (
          <button type="button" class="quiet reason" dir="auto" onClick={() => ask(true)}>
            {rating.reason}
          </button>
        )}
      </fieldset>
      {asks && shown && (
        <Reason
          thumb={shown}
          start={rating?.reason ?? ""}
          give={(reason) => {
            rate(shown, reason);
            ask(false);
          }}
          leave={() => ask(false)}
        />
      )}
    </div>
  );
}

interface ThumbButtonProps {
  thumb: "up" | "down";
  label: string;
  on: boolean;
  press: (thumb: Thumb) => void;
}

function ThumbButton({ thumb, label, on, press }: ThumbButtonProps) {
  return (
    <button
      type="button"
      class="icon-button thumb"
      aria-label={label}
      aria-pressed={on}
      title={label}
      onClick={() => press(thumb)}
    >
      <Icon name={thumb === "up" ? "thumbUp" : "thumbDown"} />
    </button>
  );
}

interface ReasonProps {
  thumb: Thumb;
  start: string;
  give: (reason: string) => void;
  leave: () => void;
}

function Reason({ thumb, start, give, leave }: ReasonProps) {
  const texts = useTexts();
  const [words, write] = useState(start);
  const label = thumb === "up" ? texts.whatWasGood : texts.whatWasBad;
  const send = (event: Event) => {
    event.preventDefault();
    give(words.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    leave();
  };
  return (
    <form class="entry row why" onSubmit={send} onKeyDown={onKeyDown}>
      <input
        type="text"
        dir="auto"
        aria-label={label}
        placeholder={label}
        maxLength={MOST}
        value={words}
        autocomplete="off"
        onInput={({ currentTarget }) => write(currentTarget.value)}
      />
      <button type="submit" class="secondary">
        {texts.send}
      </button>
      <button type="button" class="icon-button" aria-label={texts.dismiss} onClick={leave}>
        <Icon name="close" />
      </button>
    </form>
  );
}
