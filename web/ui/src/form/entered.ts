/** What stands in the fields of a form: at the beginning, and read back as a value. */

import { type Entered, type Field, Unreadable } from "./fields";

/** What a field begins with; `preset` is the app's value for it, if it has one. */
export function begin(field: Field, preset: unknown): Entered {
  switch (field.kind) {
    case "text":
      return field.type === "datetime-local" ? localTime(preset) : string(preset);
    case "number":
      return string(preset);
    case "check":
      return preset === true;
    case "one": {
      const chosen = field.options.findIndex(([value]) => value === preset);
      return chosen < 0 ? "" : String(chosen);
    }
    case "several": {
      const given = Array.isArray(preset) ? preset : [];
      return field.options.map(([value]) => given.includes(value));
    }
    case "lines":
      return Array.isArray(preset) ? preset.join("\n") : "";
    case "json":
      return preset === undefined ? "" : JSON.stringify(preset, null, 2);
    case "group": {
      if (!field.must && (preset === undefined || preset === null)) return null;
      return beginGroup(field, preset);
    }
    case "constant":
      return null;
  }
}

/** What a group begins with once it is filled in. */
export function beginGroup(field: Field & { kind: "group" }, preset?: unknown): Entered {
  const given = preset && typeof preset === "object" ? (preset as Record<string, unknown>) : {};
  return Object.fromEntries(
    field.members.map(({ name, field: member }) => [
      name,
      begin(member, given[name] ?? member.start),
    ]),
  );
}

/** The value; `undefined` is none. Throws `Unreadable`. */
export function read(field: Field, entered: Entered): unknown {
  switch (field.kind) {
    case "text":
      return readText(field, String(entered));
    case "number":
      return entered === "" ? undefined : Number(entered);
    case "check":
      return entered;
    case "one":
      return entered === "" ? undefined : field.options[Number(entered)]?.[0];
    case "several": {
      const on = Array.isArray(entered) ? entered : [];
      return field.options.filter((_, index) => on[index]).map(([value]) => value);
    }
    case "lines":
      return readLines(field, String(entered));
    case "json":
      return readJson(field, String(entered));
    case "group":
      return readGroup(field, entered);
    case "constant":
      return field.value;
  }
}

function readText(field: Field & { kind: "text" }, text: string): unknown {
  if (!text) return field.must ? "" : undefined;
  return field.type === "datetime-local" ? new Date(text).toISOString() : text;
}

function readLines(field: Field, text: string): unknown {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  return lines.length || field.must || Array.isArray(field.start) ? lines : undefined;
}

function readGroup(field: Field & { kind: "group" }, entered: Entered): unknown {
  if (entered === null || typeof entered !== "object" || Array.isArray(entered)) return undefined;
  const value: Record<string, unknown> = {};
  for (const { name, field: member, required } of field.members) {
    const one = read(member, entered[name] ?? null);
    if (one !== undefined) value[name] = one;
    else if (required && member.nullable) value[name] = null;
  }
  return value;
}

function readJson(field: Field, text: string): unknown {
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new Unreadable(field);
  }
}

/** A form's value in words, until the server says how to show it. */
export function inWords(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, part]) => `${name}: ${typeof part === "string" ? part : JSON.stringify(part)}`)
    .join(", ");
}

const string = (value: unknown) => (value === undefined || value === null ? "" : String(value));

/** A moment as the browser's control wants it: local, without a zone. */
function localTime(moment: unknown): string {
  const date = new Date(typeof moment === "string" ? moment : Number.NaN);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
