/**
 * A form from a JSON schema, without a screen: which fields it has, what they begin with, what was
 * entered. For what people fill in there are controls; where a schema asks for more than that, a
 * field takes JSON. The server checks the result; this only makes it likely to fit.
 */

import { resolve, type Schema } from "./schema";

interface Common {
  /** Where it stands in the form; the name of its control. */
  path: string;
  title: string;
  help: string;
  must: boolean;
  nullable: boolean;
  /** The schema's own default. */
  start?: unknown;
}

type TextType = "text" | "date" | "email" | "url" | "datetime-local";
type Options = [value: unknown, label: string][];

export type Field = Common &
  (
    | { kind: "text"; type: TextType; long: boolean; minLength?: number; maxLength?: number }
    | { kind: "number"; integer: boolean; minimum?: number; maximum?: number }
    | { kind: "check" }
    | { kind: "lines" }
    | { kind: "json" }
    | { kind: "one"; options: Options }
    | { kind: "several"; options: Options }
    | { kind: "group"; members: Member[] }
    | { kind: "constant"; value: unknown }
  );

interface Member {
  name: string;
  field: Field;
  required: boolean;
}

/** What stands in a field's controls; a group that is not filled in has none. */
export type Entered = string | boolean | boolean[] | { [name: string]: Entered } | null;

/** What was entered cannot be read. */
export class Unreadable extends Error {
  readonly field: Field;

  constructor(field: Field) {
    super(field.title);
    this.field = field;
  }
}

const DEEPEST = 6;
const TYPES: Record<string, TextType> = {
  date: "date",
  email: "email",
  uri: "url",
  "date-time": "datetime-local",
};

export function formOf(schema: Schema, title: string): Field {
  const definitions = { ...schema.definitions, ...schema.$defs };
  const whole = resolve(schema, definitions);
  const about = {
    path: "form",
    title: whole.title ?? title,
    help: "",
    must: true,
    nullable: false,
  };
  if (!whole.properties) return { ...about, kind: "json", help: whole.description ?? "" };
  return { ...about, kind: "group", members: members(whole, definitions, about.path, 0) };
}

type Definitions = Record<string, Schema>;

function members(schema: Schema, definitions: Definitions, path: string, depth: number): Member[] {
  const must = new Set(schema.required);
  return Object.entries(schema.properties ?? {}).map(([name, raw]) => {
    const resolved = resolve(raw, definitions);
    const nullable = !!resolved.nullable;
    const required = must.has(name);
    const about: Common = {
      path: `${path}.${name}`,
      title: resolved.title ?? humanised(name),
      help: resolved.description ?? "",
      must: required && !nullable,
      nullable,
      start: resolved.default,
    };
    return { name, required, field: fieldOf(resolved, about, definitions, depth) };
  });
}

function fieldOf(schema: Schema, about: Common, definitions: Definitions, depth: number): Field {
  if ("const" in schema) return { ...about, kind: "constant", value: schema.const };
  const options = optionsOf(schema);
  if (options) return { ...about, kind: "one", options };
  switch (schema.type) {
    case "string":
      return { ...about, kind: "text", ...textOf(schema) };
    case "integer":
    case "number":
      return { ...about, kind: "number", ...range(schema) };
    case "boolean":
      if (about.nullable) return { ...about, kind: "one", options: YES_OR_NO };
      return { ...about, kind: "check" };
    case "array":
      return listOf(resolve(schema.items ?? {}, definitions), about);
    default: {
      if (!schema.properties || depth >= DEEPEST) return { ...about, kind: "json" };
      const parts = members(schema, definitions, about.path, depth + 1);
      return { ...about, kind: "group", members: parts };
    }
  }
}

function textOf({ format = "", minLength, maxLength = 0 }: Schema) {
  const type = TYPES[format] ?? "text";
  const long = type === "text" && maxLength > 200;
  return { type, long, ...defined({ minLength, maxLength: maxLength || undefined }) };
}

function listOf(items: Schema, about: Common): Field {
  const options = optionsOf(items);
  if (options) return { ...about, kind: "several", options };
  return { ...about, kind: items.type === "string" && !items.format ? "lines" : "json" };
}

/** The labels of these are the user's language's own. */
export const YES_OR_NO: Options = [
  [true, "yes"],
  [false, "no"],
];

function optionsOf({ constants, enum: values }: Schema): [unknown, string][] | null {
  if (constants) return constants.map((one) => [one.const, one.title ?? String(one.const)]);
  if (!values) return null;
  return values.filter((value) => value !== null).map((value) => [value, String(value)]);
}

function range(schema: Schema) {
  const integer = schema.type === "integer";
  const step = integer ? 1 : 0;
  const { exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  const minimum = schema.minimum ?? (above === undefined ? undefined : above + step);
  const maximum = schema.maximum ?? (below === undefined ? undefined : below - step);
  return { integer, ...defined({ minimum, maximum }) };
}

function defined<T extends object>(parts: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

function humanised(name: string): string {
  const words = name
    .replace(/[_-]+/g, " ")
    .replace(/(?<=[a-z])(?=[A-Z])/g, " ")
    .trim();
  return words ? words.charAt(0).toUpperCase() + words.slice(1).toLowerCase() : name;
}
