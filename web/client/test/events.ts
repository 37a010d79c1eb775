/** Events and frames as tests write them, and arbitrary logs that a server could have sent. */

import fc from "fast-check";
import type { Delta, Event, Question, Records } from "../src/wire";

export const SESSION = "s1";

export const user = (text: string, command = ""): Event => ({
  type: "MessageAdded",
  role: "user",
  text,
  command,
});
export const bot = (text: string, path = "reply#1"): Event => ({
  type: "MessageAdded",
  role: "bot",
  text,
  path,
});
export const started = (round = 1, source = 1): Event => ({ type: "RoundStarted", round, source });
export const done = (round = 1): Event => ({ type: "RoundFinished", round, status: "done" });
export const asked = (path = "ask#1", question: Question = { kind: "text" }): Event => ({
  type: "QuestionAsked",
  path,
  text: "?",
  question,
});

export const records = (after: number, ...events: (Event | null)[]): Records => ({
  t: "records",
  session: SESSION,
  after,
  records: events,
});
export const delta = (offset: number, text: string, path = "stream#1"): Delta => ({
  t: "delta",
  session: SESSION,
  round: 1,
  path,
  offset,
  text,
});

const words = fc.string({ maxLength: 8, unit: "grapheme" });

/** A round and what came of it. */
const round = fc.record({
  text: words,
  parts: fc.array(fc.constantFrom("reply", "ask", "hidden", "queued"), { maxLength: 4 }),
  status: fc.constantFrom("done", "failed", "stopped"),
});

/** Logs as the engine writes them: rounds one after the other, some records not shown to users. */
export const logs = fc.array(round, { maxLength: 5 }).map((rounds) => {
  const log: (Event | null)[] = [{ type: "SessionOpened" }];
  rounds.forEach(({ text, parts, status }, index) => {
    const number = index + 1;
    log.push(user(text, `id-${number}`), started(number, log.length + 1));
    parts.forEach((part, place) => {
      if (part === "reply") log.push(bot(text, `reply#${place}`));
      else if (part === "hidden") log.push(null);
      else if (part === "queued") log.push(user(`${text} too`));
      else log.push(asked(`ask#${place}`));
    });
    log.push({ type: "RoundFinished", round: number, status: status as "done" });
  });
  return log;
});

export const begun = (path: string, name = "Search"): Event => ({ type: "PartBegun", path, name });
export const ended = (path: string, output = ""): Event => ({
  type: "PartEnded",
  path: `${path}/end#1`,
  output,
});
