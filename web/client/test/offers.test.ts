import { expect, test } from "vitest";
import { Client } from "../src/client";
import { memoryShelf } from "../src/shelf";
import { Transcript } from "../src/transcript";
import { bot, records, SESSION, started } from "./events";
import { FakeServer } from "./server";

function told(...events: Parameters<typeof records>[1][]) {
  const transcript = new Transcript();
  transcript.addRecords(records(0, ...events), 0);
  return transcript;
}

test("a rating stands with its message, and the newest counts", () => {
  const transcript = told(
    { type: "SessionOpened", profile: "desk" },
    started(1, 0),
    bot("one"),
    { type: "FeedbackGiven", message: 3, rating: "down", reason: "No." },
    { type: "FeedbackGiven", message: 3, rating: "up" },
    { type: "FeedbackGiven", message: 99, rating: "up" },
  );
  expect(transcript.profile).toBe("desk");
  expect(transcript.items).toMatchObject([{ text: "one", rating: { rating: "up", reason: "" } }]);
});

test("what was set last is known, and a component is an item", () => {
  const transcript = told(
    { type: "SettingsChanged", values: { stars: 1 } },
    { type: "SettingsChanged", values: { stars: 2 } },
    { type: "ComponentShown", path: "show:map#1", name: "map", data: { room: 7 } },
  );
  expect(transcript.settings).toEqual({ stars: 2 });
  expect(transcript.items).toMatchObject([{ kind: "component", name: "map", text: "" }]);
});

function connected() {
  const server = new FakeServer();
  const client = new Client({ pipe: server.open, shelf: () => memoryShelf() });
  client.connection.env = { KEY: "k1" };
  client.connection.start();
  return { server, client };
}

test("a session is opened with its profile and settings, and keys come with the greeting", () => {
  const { server, client } = connected();
  client.enter("", { profile: "desk", settings: { stars: 1 } });
  server.greet();
  expect(server.of("hello")[0]?.env).toEqual({ KEY: "k1" });
  expect(server.of("open")[0]).toMatchObject({ profile: "desk", settings: { stars: 1 } });
  client.bring({ OTHER: "k2" });
  expect(server.of("keys")[0]?.env).toEqual({ OTHER: "k2" });
  expect(client.connection.env).toEqual({ KEY: "k1", OTHER: "k2" });
});

test("who sets something is told whether it was taken", async () => {
  const { server, client } = connected();
  const conversation = client.enter(SESSION);
  server.greet();
  const refused = conversation.configure({ stars: 9 });
  const id = server.of("configure")[0]?.id ?? "";
  server.say({ t: "refused", session: SESSION, id, code: "invalid", message: "At most five." });
  expect(await refused).toBe("At most five.");
  const taken = conversation.configure({ stars: 5 });
  const other = server.of("configure")[1]?.id ?? "";
  server.say({ t: "ack", session: SESSION, id: other, seq: 4 });
  expect(await taken).toBe("");
});
