/** JSON Schema, as far as a form shows it: references followed, optional things made plain. */

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  format?: string;
  const?: unknown;
  enum?: unknown[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minItems?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  $ref?: string;
  $defs?: Record<string, Schema>;
  definitions?: Record<string, Schema>;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  /** Ours, made by `resolve`: it may be left empty, or is one of these constants. */
  nullable?: boolean;
  constants?: Schema[];
}

const DEEPEST = 8;

/** The schema with its reference followed and `T | None` read as an optional T. */
export function resolve(schema: Schema, definitions: Record<string, Schema>, depth = 0): Schema {
  if (depth > DEEPEST || typeof schema !== "object" || schema === null) return {};
  const { $ref, allOf, anyOf, oneOf, ...own } = schema;
  const follow = (one: Schema | undefined) => resolve(one ?? {}, definitions, depth + 1);
  if ($ref) {
    const name = decodeURIComponent($ref.split("/").at(-1) ?? "");
    return { ...follow(definitions[name]), ...own };
  }
  if (allOf?.length === 1) return { ...follow(allOf[0]), ...own };
  const choices = anyOf ?? oneOf;
  if (choices) {
    const kinds = choices.filter((one) => one?.type !== "null");
    const nullable = kinds.length < choices.length;
    if (kinds.length === 1) return { ...follow(kinds[0]), ...own, nullable };
    if (kinds.every((one) => "const" in one)) return { ...own, constants: kinds, nullable };
    return { ...own, type: "anything", nullable };
  }
  if (Array.isArray(schema.type)) {
    const kinds = schema.type.filter((one) => one !== "null");
    const type = kinds.length === 1 ? (kinds[0] ?? "anything") : "anything";
    return { ...schema, type, nullable: kinds.length < schema.type.length };
  }
  return schema;
}
