/**
 * A form from a JSON schema: labelled controls for what people fill in, and a field for JSON where
 * a schema asks for more than that. The server checks the result; this only makes it likely to fit.
 */

import { freshId, h } from "./dom.js";

/**
 * @typedef {Record<string, any>} Schema
 * @typedef {object} Field
 * @property {HTMLElement} element
 * @property {() => any} read the value; `undefined` is none. Throws `Unreadable`.
 */

/** What was entered cannot be read. */
export class Unreadable extends Error {
  /** @param {string} message @param {HTMLElement} control */
  constructor(message, control) {
    super(message);
    this.control = control;
  }
}

/** @param {Schema} schema of an object @param {any} [preset] @returns {Field} */
export function formFields(schema, preset) {
  const definitions = { ...schema.definitions, ...schema.$defs };
  const builder = new Builder(definitions);
  const whole = builder.resolve(schema);
  if (!whole.properties) return builder.json({ title: "Answer", ...whole }, preset, true, "");
  return builder.fields(whole, preset, 0);
}

class Builder {
  /** @param {Record<string, Schema>} definitions */
  constructor(definitions) {
    this.definitions = definitions;
  }

  /**
   * The schema with its reference followed and `T | None` read as an optional T.
   *
   * @param {Schema} schema
   * @param {number} [depth]
   * @returns {Schema}
   */
  resolve(schema, depth = 0) {
    if (depth > 8 || typeof schema !== "object" || schema === null) return {};
    const { $ref, allOf, anyOf, oneOf, ...own } = schema;
    if ($ref) {
      const name = decodeURIComponent(String($ref).split("/").at(-1) ?? "");
      return { ...this.resolve(this.definitions[name], depth + 1), ...own };
    }
    if (allOf?.length === 1) return { ...this.resolve(allOf[0], depth + 1), ...own };
    const choices = /** @type {Schema[] | undefined} */ (anyOf ?? oneOf);
    if (choices) {
      const kinds = choices.filter((one) => one?.type !== "null");
      const nullable = kinds.length < choices.length;
      if (kinds.length === 1) return { ...this.resolve(kinds[0], depth + 1), ...own, nullable };
      if (kinds.every((one) => "const" in one)) {
        return { ...own, constants: kinds, nullable };
      }
      return { ...own, type: "anything", nullable };
    }
    if (Array.isArray(schema.type)) {
      const kinds = schema.type.filter((one) => one !== "null");
      const type = kinds.length === 1 ? kinds[0] : "anything";
      return { ...schema, type, nullable: kinds.length < schema.type.length };
    }
    return schema;
  }

  /**
   * The fields of an object.
   *
   * @param {Schema} schema resolved
   * @param {any} preset
   * @param {number} depth
   * @returns {Field}
   */
  fields(schema, preset, depth) {
    const required = new Set(schema.required);
    const fields = Object.entries(schema.properties).map(([name, raw]) => {
      const resolved = this.resolve(/** @type {Schema} */ (raw));
      const start = preset?.[name] ?? resolved.default ?? undefined;
      const field = this.field(resolved, name, start, required.has(name), depth);
      return { name, field, required: required.has(name), nullable: !!resolved.nullable };
    });
    const read = () => {
      /** @type {Record<string, any>} */
      const value = {};
      for (const { name, field, required: must, nullable } of fields) {
        const one = field.read();
        if (one !== undefined) value[name] = one;
        else if (must && nullable) value[name] = null;
      }
      return value;
    };
    const elements = fields.map(({ field }) => field.element);
    return { element: h("div", { class: "fields" }, ...elements), read };
  }

  /**
   * @param {Schema} schema resolved
   * @param {string} name
   * @param {any} start
   * @param {boolean} required
   * @param {number} depth
   * @returns {Field}
   */
  field(schema, name, start, required, depth) {
    const must = required && !schema.nullable;
    const titled = { ...schema, title: schema.title ?? humanised(name) };
    if ("const" in schema) return constant(schema.const);
    if (schema.constants) {
      const constants = /** @type {Schema[]} */ (schema.constants);
      const labelled = constants.map((one) => pair(one.const, one.title));
      return select(titled, start, must, labelled);
    }
    if (schema.enum) {
      const values = /** @type {any[]} */ (schema.enum).filter((one) => one !== null);
      return select(titled, start, must, values.map((one) => pair(one)));
    }
    switch (schema.type) {
      case "string":
        return text(titled, start, must);
      case "integer":
      case "number":
        return number(titled, start, must);
      case "boolean":
        return schema.nullable
          ? select(titled, start, must, [[true, "Yes"], [false, "No"]])
          : checkbox(titled, start);
      case "array":
        return this.array(titled, start, must, name);
      case "object":
        if (schema.properties && depth < 6) return this.group(titled, start, must, depth);
        return this.json(titled, start, must, name);
      default:
        return this.json(titled, start, must, name);
    }
  }

  /**
   * @param {Schema} schema
   * @param {any} start
   * @param {boolean} must
   * @param {number} depth
   * @returns {Field}
   */
  group(schema, start, must, depth) {
    const inner = this.fields(schema, start, depth + 1);
    const legend = h("legend", {}, schema.title);
    const help = schema.description && h("p", { class: "help" }, schema.description);
    if (must) {
      return { element: h("fieldset", {}, legend, help, inner.element), read: inner.read };
    }
    const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: freshId() }));
    const part = h("fieldset", { class: "bare" }, inner.element);
    const show = () => {
      part.hidden = !box.checked;
      /** @type {HTMLFieldSetElement} */ (part).disabled = !box.checked;
    };
    box.checked = start !== undefined && start !== null;
    box.addEventListener("change", show);
    show();
    const add = h("label", { class: "check", for: box.id }, box, h("span", {}, "Fill this in"));
    const element = h("fieldset", {}, legend, help, add, part);
    return { element, read: () => (box.checked ? inner.read() : undefined) };
  }

  /**
   * @param {Schema} schema
   * @param {any} start
   * @param {boolean} must
   * @param {string} name
   * @returns {Field}
   */
  array(schema, start, must, name) {
    const items = this.resolve(schema.items ?? {});
    const given = Array.isArray(start) ? start : [];
    if (items.enum || items.constants) {
      const constants = /** @type {Schema[]} */ (items.constants ?? []);
      const values = items.enum ?? constants.map((one) => one.const);
      return checkboxes(schema, given, values);
    }
    if (items.type !== "string" || items.format) return this.json(schema, start, must, name);
    const area = textarea(given.join("\n"), must || (schema.minItems ?? 0) > 0);
    const read = () => {
      const lines = area.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return lines.length || must || given.length ? lines : undefined;
    };
    const help = sentences(schema.description, "One per line.");
    return { element: labelled({ ...schema, description: help }, area, must), read };
  }

  /**
   * @param {Schema} schema
   * @param {any} start
   * @param {boolean} must
   * @param {string} name
   * @returns {Field}
   */
  json(schema, start, must, name) {
    const area = textarea(start === undefined ? "" : JSON.stringify(start, null, 2), must);
    area.classList.add("mono");
    area.spellcheck = false;
    const read = () => {
      if (!area.value.trim()) return undefined;
      try {
        return JSON.parse(area.value);
      } catch {
        throw new Unreadable(`${schema.title || humanised(name)} is not valid JSON.`, area);
      }
    };
    const help = sentences(schema.description, "As JSON.");
    return { element: labelled({ ...schema, description: help }, area, must), read };
  }
}

/** @param {string | undefined} first @param {string} second */
function sentences(first, second) {
  return first ? `${first.replace(/(?<![.!?…])$/, ".")} ${second}` : second;
}

/** @param {any} value @param {string} [label] @returns {[any, string]} */
const pair = (value, label = String(value)) => [value, label];

/** @param {string} name */
function humanised(name) {
  const words = name.replace(/[_-]+/g, " ").replace(/(?<=[a-z])(?=[A-Z])/g, " ").trim();
  return words ? words[0].toUpperCase() + words.slice(1).toLowerCase() : name;
}

/**
 * A control with its label and help.
 *
 * @param {Schema} schema
 * @param {HTMLElement} control
 * @param {boolean} must
 */
function labelled(schema, control, must) {
  control.id = freshId();
  const help = schema.description && h("p", { class: "help", id: freshId() }, schema.description);
  if (help) control.setAttribute("aria-describedby", help.id);
  const optional = !must && h("span", { class: "optional" }, " optional");
  const label = h("label", { for: control.id }, schema.title, optional);
  return h("div", { class: "field" }, label, help, control);
}

/** @param {any} value @returns {Field} */
function constant(value) {
  return { element: h("div", { hidden: true }), read: () => value };
}

/** @param {string} value @param {boolean} required */
export function textarea(value, required) {
  const area = /** @type {HTMLTextAreaElement} */ (h("textarea", { rows: 3, required }));
  area.value = value;
  return area;
}

/** @type {Record<string, string>} */
const TYPES = { date: "date", email: "email", uri: "url", "date-time": "datetime-local" };

/** @param {Schema} schema @param {any} start @param {boolean} must @returns {Field} */
function text(schema, start, must) {
  const type = TYPES[schema.format] ?? "text";
  const long = type === "text" && (schema.maxLength ?? 0) > 200;
  const length = { minlength: schema.minLength, maxlength: schema.maxLength };
  const required = must && (schema.minLength ?? 1) > 0 && start !== "";
  const control = long
    ? textarea("", required)
    : /** @type {HTMLInputElement} */ (h("input", { type, required, ...length }));
  if (type === "datetime-local") control.setAttribute("step", "1");
  control.value = type === "datetime-local" && start ? localTime(start) : start ?? "";
  const read = () => {
    if (!control.value) return must ? "" : undefined;
    return type === "datetime-local" ? new Date(control.value).toISOString() : control.value;
  };
  return { element: labelled(schema, control, must), read };
}

/** A moment as the browser's control wants it: local, without a zone. @param {string} moment */
function localTime(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** @param {Schema} schema @param {any} start @param {boolean} must @returns {Field} */
function number(schema, start, must) {
  const whole = schema.type === "integer";
  const low = schema.minimum ?? (whole && schema.exclusiveMinimum !== undefined
    ? schema.exclusiveMinimum + 1 : schema.exclusiveMinimum);
  const high = schema.maximum ?? (whole && schema.exclusiveMaximum !== undefined
    ? schema.exclusiveMaximum - 1 : schema.exclusiveMaximum);
  const control = numberInput({ integer: whole, minimum: low, maximum: high, required: must });
  control.value = start ?? "";
  const read = () => (control.value === "" ? undefined : control.valueAsNumber);
  return { element: labelled(schema, control, must), read };
}

/** @param {{integer?: boolean, minimum?: number, maximum?: number, required?: boolean}} options */
export function numberInput({ integer, minimum, maximum, required }) {
  // a step counts from the minimum, so a whole number needs one that is whole
  const step = integer && Number.isInteger(minimum ?? 0) ? 1 : "any";
  const attributes = { type: "number", step, min: minimum, max: maximum, required };
  const mode = integer && (minimum ?? -1) >= 0 ? "numeric" : "decimal";
  return /** @type {HTMLInputElement} */ (h("input", { ...attributes, inputmode: mode }));
}

/** @param {Schema} schema @param {any} start @returns {Field} */
function checkbox(schema, start) {
  const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: freshId() }));
  box.checked = start === true;
  const help = schema.description && h("p", { class: "help", id: freshId() }, schema.description);
  if (help) box.setAttribute("aria-describedby", help.id);
  const label = h("label", { class: "check", for: box.id }, box, h("span", {}, schema.title));
  return { element: h("div", { class: "field" }, label, help), read: () => box.checked };
}

/**
 * @param {Schema} schema
 * @param {any} start
 * @param {boolean} must
 * @param {[any, string][]} options
 * @returns {Field}
 */
function select(schema, start, must, options) {
  const control = /** @type {HTMLSelectElement} */ (h("select", { required: must }));
  const chosen = options.findIndex(([value]) => value === start);
  control.append(h("option", { value: "" }, must ? "Choose…" : "–"));
  options.forEach(([, label], index) =>
    control.append(h("option", { value: index, selected: index === chosen }, label)));
  const read = () => (control.value === "" ? undefined : options[Number(control.value)][0]);
  return { element: labelled(schema, control, must), read };
}

/** @param {Schema} schema @param {any[]} given @param {any[]} values @returns {Field} */
function checkboxes(schema, given, values) {
  const boxes = values.map((value) => {
    const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: freshId() }));
    box.checked = given.includes(value);
    return { value, box };
  });
  const element = h("fieldset", {}, h("legend", {}, schema.title),
    schema.description && h("p", { class: "help" }, schema.description),
    ...boxes.map(({ value, box }) =>
      h("label", { class: "check", for: box.id }, box, h("span", {}, String(value)))));
  return { element, read: () => boxes.filter(({ box }) => box.checked).map(({ value }) => value) };
}
