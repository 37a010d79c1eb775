import { expect, test } from "vitest";
import { duration, size } from "../src/format";
import { choose, fill, speak } from "../src/texts";
import { en } from "../src/texts/en";
import { threadTexts } from "../src/threads/texts";
import { en as threads } from "../src/threads/texts/en";
import { accepts } from "../src/tray";

const places = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();

test.each(["ar", "de", "es", "fr", "ja", "zh"])(
  "%s says everything that English says",
  async (tag) => {
    const { texts } = await speak([tag]);
    expect(Object.keys(texts)).toEqual(Object.keys(en));
    for (const [name, text] of Object.entries(texts)) {
      expect(text.trim(), name).not.toBe("");
      expect(places(text), name).toEqual(places(en[name as keyof typeof en]));
    }
  },
);

test.each(["ar", "de", "es", "fr", "ja", "zh"])(
  "%s says of conversations everything that English says",
  async (tag) => {
    const texts = await threadTexts(tag);
    expect(texts).not.toBe(threads);
    expect(Object.keys(texts)).toEqual(Object.keys(threads));
    for (const [name, text] of Object.entries(texts)) {
      expect(text.trim(), name).not.toBe("");
      expect(places(text), name).toEqual(places(threads[name as keyof typeof threads]));
    }
  },
);

test("the first language that is wanted and spoken is taken", () => {
  expect(choose(["pt-BR", "de-AT", "en"])).toEqual({ tag: "de-AT", name: "de" });
  expect(choose(["pt-BR"]).name).toBe("en");
  expect(choose(["zh-Hant-TW"]).name).toBe("zh");
});

test("Arabic goes from right to left", async () => {
  expect((await speak(["ar-EG"])).direction).toBe("rtl");
  expect((await speak(["de"])).direction).toBe("ltr");
});

test("places of a text are filled", () => {
  expect(fill("From {low} to {high}, {else}", { low: 1, high: "2" })).toBe("From 1 to 2, {else}");
});

test("sizes and times read as people write them", () => {
  expect([size(999, "en"), size(1500, "de"), size(2_345_678, "en")]).toEqual([
    "999 B",
    "1,5 kB",
    "2.3 MB",
  ]);
  expect([duration(59.1), duration(3600), duration(86_400 * 3, "en")]).toEqual([
    "1:00",
    "1:00:00",
    "3 days",
  ]);
});

test("files are taken by kind and by ending", () => {
  expect(accepts("image/*", "a.png", "image/png")).toBe(true);
  expect(accepts(".PDF", "a.pdf", "")).toBe(true);
  expect(accepts("text/csv", "a.csv", "text/plain")).toBe(false);
});
