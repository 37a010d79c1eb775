/** Puts the page together: one client, what it says on the screen, what the user does to it. */

import { Client } from "./client.js";
import { Composer } from "./composer.js";
import { h, touch } from "./dom.js";
import { inTab } from "./shelf.js";
import { Transcript } from "./view.js";
import { forget, remember, showVisits } from "./visits.js";

const PATIENCE = 700;

const find = (/** @type {string} */ selector) =>
  /** @type {HTMLElement} */ (document.querySelector(selector));

const page = new URL(location.href);
const socket = new URL("ws", page);
socket.protocol = page.protocol === "https:" ? "wss:" : "ws:";
socket.search = socket.hash = "";

const client = new Client({
  url: socket.href,
  session: page.searchParams.get("s") ?? "",
  changed: () => draw(),
});

const server = () => ({
  session: client.session,
  token: client.connection.token,
  uploadBytes: client.limits.upload_bytes,
  messageBytes: client.limits.message_bytes,
  filesPerMessage: client.limits.files_per_message,
});

const composer = new Composer(find("#composer"), {
  send: (text, files) => {
    client.say(text, files);
    transcript.toEnd();
  },
  stop: () => client.stop(),
  server,
  shelf: () => (client.session ? inTab(client.session) : null),
});

const transcript = new Transcript(
  { list: find("#transcript"), scroller: find("#scroller"), jump: find("#jump") },
  () => client.session,
  {
    answer: (question, answer, shown) => {
      client.answer(question, answer, shown);
      transcript.toEnd();
    },
    dismiss: () => client.stop(),
    server,
  },
);

// -- drawing: at most once a frame ------------------------------------------------------------

let drawing = 0;

function draw() {
  // a hidden tab gets no frames, but its title should tell that something came
  if (!drawing) drawing = document.hidden ? setTimeout(redraw, 100) : requestAnimationFrame(redraw);
}

function redraw() {
  drawing = 0;
  const { conversation, session } = client;
  if (session && page.searchParams.get("s") !== session) settle(session);
  const streaming = conversation.streams.size > 0;
  const log = find("#transcript");
  log.setAttribute("aria-busy", String(streaming || !conversation.live));
  transcript.show([...conversation.items, ...conversation.streams.values(),
    ...conversation.queue, ...underway()]);
  const working = conversation.round > 0;
  const asked = conversation.asked?.question?.kind ?? "";
  find("#typing").hidden = !working || asked || streaming || !conversation.live;
  find("#empty").hidden = !conversation.live || working || !!find("#transcript").firstChild;
  const closed = conversation.closed || !!client.trouble.code;
  composer.show({ working: working && conversation.live, asked, able: !!session, closed });
  showTrouble();
  showStatus();
  attend();
  keepFocus();
  if (conversation.live) enterOnce();
  noticeUnread();
  noticeVisit();
}

/** Commands of this tab that the log does not have yet. */
function underway() {
  const { outbox, conversation } = client;
  return [...outbox.commands.values()]
    .filter(({ frame, id, text, files }) =>
      frame.t !== "stop" && !conversation.recorded.has(id) && (text || files.length))
    .filter(({ frame, state }) => frame.t === "say" || state !== "refused")
    .map(({ id, text, files, state, reason, tries }) => ({
      key: `c:${id}`, kind: /** @type {const} */ ("user"), version: tries, text, files,
      pending: true, offline: !conversation.live,
      refused: state === "refused" ? reason || "This was not accepted." : undefined,
      retry: () => client.retry(id), takeBack: () => takeBack(id),
    }));
}

/** @param {string} id */
function takeBack(id) {
  const command = client.outbox.commands.get(id);
  if (!command) return;
  composer.giveBack([command.text, composer.text].filter(Boolean).join("\n"), command.files);
  client.discard(id);
  composer.focus();
}

/** The session has its id: a reload comes back to it. @param {string} session */
function settle(session) {
  page.searchParams.set("s", session);
  history.replaceState(null, "", `?s=${encodeURIComponent(session)}`);
}

// -- questions --------------------------------------------------------------------------------

/** @type {Set<number>} */
const seen = new Set();
/** Commands whose rejected words have been given back. @type {Set<string>} */
const returned = new Set();

function attend() {
  const { conversation, sent } = client;
  for (const { controls, item } of transcript.controls) {
    const number = item.seq ?? 0;
    controls.wait(client.answering(number));
    const { rejection } = item;
    if (rejection && !returned.has(rejection.command)) {
      returned.add(rejection.command);
      const typed = sent.get(rejection.command) === "say";
      if (typed && composer.empty) composer.giveBack(rejection.text);
    }
    if (!seen.has(number) && conversation.live) {
      seen.add(number);
      transcript.reveal(controls);
      if (mayFocus()) controls.focus();
    }
  }
  tick();
}

const adrift = () => document.activeElement === document.body;

function mayFocus() {
  return (adrift() || (composer.focused && composer.empty)) && !touch.matches;
}

/** @type {EventTarget | null} */
let focused = null;
document.addEventListener("focusin", ({ target }) => (focused = target));

/** Controls that were answered are gone, or were only disabled while the answer was under way. */
function keepFocus() {
  if (!(focused instanceof HTMLElement) || !adrift() || touch.matches) return;
  if (!focused.isConnected) composer.focus();
  else if (focused.closest(".question") && !focused.matches(":disabled")) focused.focus();
}

let entered = false;

function enterOnce() {
  if (entered) return;
  entered = true;
  composer.restore();
  if (mayFocus()) composer.focus();
}

let clock = 0;

/** Counts down while a question has a deadline. */
function tick() {
  clearTimeout(clock);
  const timed = transcript.controls.filter(({ item }) => item.deadline);
  const now = Date.now() / 1000 - client.conversation.skew;
  for (const { controls, item } of timed) controls.tick((item.deadline ?? 0) - now);
  if (timed.length) clock = setTimeout(tick, 1000);
}

// -- what the user should know ----------------------------------------------------------------

const status = find("#status");
let since = 0;
let patience = 0;

function showStatus() {
  const { state, due } = client.connection;
  const fine = client.conversation.live || client.trouble.code;
  if (fine) {
    since = 0;
    status.hidden = true;
    status.replaceChildren();
    return;
  }
  since ||= Date.now();
  clearTimeout(patience);
  if (Date.now() - since < PATIENCE) {
    patience = setTimeout(showStatus, PATIENCE);
    return;
  }
  const words = client.conversation.place || entered ? "Reconnecting…" : "Connecting…";
  const long = state === "waiting" && due - Date.now() > 1500;
  const wake = () => client.connection.wake();
  const now = h("button", { type: "button", class: "link", onclick: wake }, "Try now");
  if (status.dataset.shows !== `${words}${long}` || status.hidden) {
    status.dataset.shows = `${words}${long}`;
    status.replaceChildren(h("span", {}, words), long ? now : "");
    status.hidden = false;
  }
}

function showTrouble() {
  const { code, message } = client.trouble;
  const { closed } = client.conversation;
  const place = find("#ended");
  const shows = code || (closed ? "closed" : "");
  if (place.dataset.shows === shows) return;
  place.dataset.shows = shows;
  place.hidden = !shows;
  if (!shows) return;
  const fresh = h("a", { class: "primary button", href: "./" }, "New conversation");
  const reload = h("a", { class: "primary button", href: location.href }, "Reload");
  if (code === "unknown_session") {
    forget(client.session);
    place.replaceChildren(h("h2", {}, "This conversation is not here"),
      h("p", {}, "It may have been deleted, or it belongs to somebody else or to another browser."),
      fresh);
  } else if (code) {
    place.replaceChildren(h("h2", {}, "The conversation cannot begin"), h("p", {}, message),
      code === "unsupported_version" ? reload : fresh);
  } else {
    place.replaceChildren(fresh);
  }
}

// -- the page's other parts -------------------------------------------------------------------

const title = document.title;
let unread = 0;

function noticeUnread() {
  const { live, items } = client.conversation;
  if (!live || !document.hidden) unread = items.length;
  document.title = items.length > unread ? `● ${title}` : title;
}

let listed = "";

/** The list names a conversation by the first words the user wrote. */
function noticeVisit() {
  const { items } = client.conversation;
  const first = items.find(({ kind, text }) => kind === "user" && text)
    ?? items.find(({ text }) => text);
  if (!first || !client.session || listed === first.key) return;
  listed = first.key;
  remember(client.session, first.text);
}

const menu = find("#visits");
menu.addEventListener("beforetoggle", () => showVisits(menu, client.session));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
  if (menu.matches(":popover-open") || client.conversation.questions.size) return;
  client.stop();
});

/** Where dropped and pasted files go: to the question that asks for some, or to the composer. */
function tray() {
  return transcript.controls.find(({ controls }) => controls.tray)?.controls.tray ?? composer.tray;
}

/** @param {DataTransfer | null} data */
const carriesFiles = (data) => !!data && [...data.types].includes("Files");

let depth = 0;
const dropping = (/** @type {boolean} */ on) => document.body.classList.toggle("dropping", on);

document.addEventListener("dragenter", (event) => {
  if (!carriesFiles(event.dataTransfer)) return;
  depth += 1;
  dropping(true);
});
document.addEventListener("dragleave", (event) => {
  if (!carriesFiles(event.dataTransfer)) return;
  depth = Math.max(0, depth - 1);
  if (!depth) dropping(false);
});
document.addEventListener("dragover", (event) => {
  if (carriesFiles(event.dataTransfer)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event.dataTransfer)) return;
  event.preventDefault();
  depth = 0;
  dropping(false);
  if (client.session && !client.trouble.code) tray().add(event.dataTransfer?.files ?? []);
});
document.addEventListener("paste", (event) => {
  const files = event.clipboardData?.files;
  if (!files?.length || !client.session) return;
  // office programs put a picture of the text beside the text: then the text is meant
  if (event.clipboardData?.types.includes("text/plain")) return;
  event.preventDefault();
  tray().add(files);
});

// "offline" may not concern the way to this server, so it is asked whether it lives
addEventListener("online", () => client.connection.wake());
addEventListener("offline", () => client.connection.wake());
addEventListener("pageshow", (event) => event.persisted && client.connection.wake());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) client.connection.wake();
  drawing = 0; // a frame that was asked for may never come to a hidden tab
  draw();
});

client.start();
