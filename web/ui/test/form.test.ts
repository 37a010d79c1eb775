import { describe, expect, test } from "vitest";
import { begin, inWords, read } from "../src/form/entered";
import { formOf, Unreadable } from "../src/form/fields";
import type { Schema } from "../src/form/schema";

const form = (properties: Record<string, Schema>, required: string[] = []) =>
  formOf({ properties, required, $defs: { Size: { enum: ["S", "L"] } } }, "Answer");

describe("a form gives back what it was filled with", () => {
  const schemas: [Schema, unknown][] = [
    [{ type: "string", default: "x" }, "x"],
    [{ type: "string", format: "date", default: "2026-11-21" }, "2026-11-21"],
    [
      { type: "string", format: "date-time", default: "2026-11-21T10:00:05Z" },
      "2026-11-21T10:00:05.000Z",
    ],
    [{ type: "integer", minimum: 1, default: 3 }, 3],
    [{ type: "number", default: 2.5 }, 2.5],
    [{ type: "boolean" }, false],
    [{ enum: ["a", 2], default: 2 }, 2],
    [{ const: 7 }, 7],
    [{ anyOf: [{ type: "integer" }, { type: "null" }] }, null],
    [{ type: ["string", "null"] }, null],
    [{ type: ["boolean", "null"], default: false }, false],
    [{ $ref: "#/$defs/Size", default: "L" }, "L"],
    [{ type: "array", items: { enum: ["x", "y"] }, default: ["y"] }, ["y"]],
    [{ type: "array", items: { type: "string" }, default: ["a", "b"] }, ["a", "b"]],
    [{ type: "array", items: { type: "integer" }, default: [1, 2] }, [1, 2]],
    [{ type: "object", default: { k: [1] } }, { k: [1] }],
    [
      {
        type: "object",
        properties: { deep: { type: "string", default: "d" } },
        required: ["deep"],
      },
      { deep: "d" },
    ],
    [{ oneOf: [{ const: "s", title: "Small" }, { const: "l" }], default: "l" }, "l"],
  ];
  test.each(schemas)("%j", (schema, value) => {
    const whole = form({ field_name: schema }, ["field_name"]);
    expect(read(whole, begin(whole, undefined))).toEqual({ field_name: value });
  });
});

test("an empty optional field is left out", () => {
  const whole = form({ a: { type: "string" }, b: { type: "integer" }, c: { type: "object" } });
  expect(read(whole, begin(whole, undefined))).toEqual({});
});

test("what the app presets goes before the schema's default", () => {
  const whole = form({ a: { type: "string", default: "schema" }, b: { type: "boolean" } });
  expect(read(whole, begin(whole, { a: "app", b: true }))).toEqual({ a: "app", b: true });
});

test("an optional group is left out until it is filled in", () => {
  const group: Schema = { type: "object", properties: { city: { type: "string" } } };
  const whole = form({ address: group });
  expect(read(whole, begin(whole, undefined))).toEqual({});
  expect(read(whole, { address: { city: "Ockham" } })).toEqual({ address: { city: "Ockham" } });
});

test("JSON that is none is named by its field", () => {
  const whole = form({ data_set: { type: "object" } });
  expect(() => read(whole, { data_set: "{" })).toThrow(Unreadable);
  expect(() => read(whole, { data_set: "{" })).toThrow("Data set");
});

test("a schema without properties is asked for as JSON", () => {
  const whole = formOf({ type: "array" }, "Answer");
  expect(read(whole, "[1]")).toEqual([1]);
});

test("schemas that refer to themselves end", () => {
  const whole = formOf(
    {
      $defs: { Node: { type: "object", properties: { next: { $ref: "#/$defs/Node" } } } },
      properties: { tree: { $ref: "#/$defs/Node" } },
    },
    "Answer",
  );
  expect(begin(whole, undefined)).toEqual({ tree: null });
});

test("a value reads as its parts", () => {
  expect(inWords({ name: "Ada", nights: 3, extras: ["sauna"] })).toBe(
    'name: Ada, nights: 3, extras: ["sauna"]',
  );
});
