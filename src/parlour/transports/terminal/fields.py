"""A JSON schema as fields that a person can be asked one after the other. Pure.

Knows how a field's words become JSON, not how they are asked for. A part of a schema that has no
plainer form is asked for as JSON, so nothing is out of reach. Whether an answer fits is decided by
`parlour.questions`, with the schema itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from parlour.errors import InvalidAnswer
from parlour.questions import FormQuestion, read_answer

Json = Any
Node = Mapping[str, Any]
FieldKind = Literal["text", "number", "confirm", "choice", "list", "object", "json", "fixed"]

MISSING: Json = msgspec.UNSET
"""What a field that is left out has for a value."""

_ALONE = "the answer"
_DEEPEST = 16
_SIMPLE: Mapping[str, FieldKind] = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "confirm",
}
_HINTS = {
    "date": "a date like 2026-11-21",
    "date-time": "a time like 2026-11-21T18:30:00Z",
    "time": "a time like 18:30:00Z",
    "email": "an e-mail address",
    "uri": "a web address",
    "uuid": "a UUID",
    "duration": "a duration like P3D",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing to ask for. `node` is its schema without references at the top.

    `values` are the JSON values of a `choice` (or of a `list` picked from a menu, `many`);
    `nullable` says that null fits, `default` what an empty answer means.
    """

    name: str
    label: str
    kind: FieldKind
    node: Node
    description: str = ""
    required: bool = True
    nullable: bool = False
    default: Json = MISSING
    values: tuple[Json, ...] = ()
    many: bool = False

    @property
    def optional(self) -> bool:
        """Whether nothing need be said."""
        return not self.required or self.nullable or self.default is not MISSING


class Schema:
    """A form's schema, whose references point into itself."""

    def __init__(self, schema: Raw) -> None:
        self._root = _node(msgspec.json.decode(schema))

    def fields(self, given: Json = None) -> list[Field]:
        """The fields of the form's object; `given` holds values to start from."""
        return self.fields_of(self._root, given)

    def fields_of(self, node: Node, given: Json = None) -> list[Field]:
        """The fields of an object's schema."""
        node = self._resolve(node)
        required, known = _items(node.get("required")), _node(given)
        return [
            self.field(name, _node(part), required=name in required, given=known.get(name, MISSING))
            for name, part in _node(node.get("properties")).items()
        ]

    def field(
        self, name: str, node: Node, *, required: bool = True, given: Json = MISSING
    ) -> Field:
        """The field for a value of `node`."""
        plain, nullable = self._without_null(self._resolve(node))
        kind, values, many = self._kind(plain)
        default = node.get("default", plain.get("default", MISSING)) if given is MISSING else given
        label = str(node.get("title") or plain.get("title") or "")
        if kind == "object" or not label:
            label = _label(name)
        return Field(
            name=name,
            label=label,
            kind=kind,
            node=plain,
            description=str(node.get("description") or plain.get("description") or ""),
            required=required,
            nullable=nullable,
            default=default,
            values=values,
            many=many,
        )

    def item(self, field: Field, number: int) -> Field:
        """The field for one more item of a list."""
        return self.field(f"{field.label} {number}", _node(field.node.get("items")))

    def complaint(self, field: Field, value: Json) -> str:
        """Why a value does not fit its field, or ""."""
        places = {key: self._root[key] for key in ("$defs", "definitions") if key in self._root}
        properties = {**_node(self._root.get("properties")), _ALONE: field.node}
        schema = {"type": "object", "properties": properties, **places}
        question = FormQuestion(schema=Raw(msgspec.json.encode(schema)))
        try:
            read_answer(question, Raw(msgspec.json.encode({_ALONE: value})), "")
        except InvalidAnswer as error:
            form = str(field.node.get("format", ""))
            said = str(error).removeprefix(_ALONE).lstrip(":. ")
            return f"Please give {_HINTS[form]}." if f'not a "{form}"' in said else f"{said}."
        return ""

    def _kind(self, node: Node) -> tuple[FieldKind, tuple[Json, ...], bool]:
        """What is asked, the values to choose from, and whether several may be chosen."""
        values = _alternatives(node)
        kind = node.get("type")
        if values:
            return "fixed" if "const" in node else "choice", values, False
        if kind == "array" and isinstance(node.get("items"), dict):
            items = _alternatives(self._resolve(_node(node["items"])))
            return "list", items, bool(items)
        if kind == "object" and node.get("properties"):
            return "object", (), False
        return _SIMPLE.get(kind, "json") if isinstance(kind, str) else "json", (), False

    def _resolve(self, node: Node) -> Node:
        """The schema that references lead to; what stands beside a reference wins."""
        for _ in range(_DEEPEST):
            parts = _items(node.get("allOf"))
            if isinstance(node.get("$ref"), str):
                node = {**self._find(str(node["$ref"])), **_without(node, "$ref")}
            elif len(parts) == 1:
                node = {**_node(parts[0]), **_without(node, "allOf")}
            else:
                break
        return node

    def _find(self, reference: str) -> Node:
        place = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            place = _node(place.get(part.replace("~1", "/").replace("~0", "~")))
        return place

    def _without_null(self, node: Node) -> tuple[Node, bool]:
        """The schema for what is not null, and whether null would fit too."""
        kinds = _items(node.get("type"))
        if "null" in kinds:
            rest = [kind for kind in kinds if kind != "null"]
            return {**node, "type": rest[0] if len(rest) == 1 else rest}, True
        for key in ("anyOf", "oneOf"):
            resolved = [self._resolve(_node(part)) for part in _items(node.get(key))]
            parts = [part for part in resolved if part.get("type") != "null"]
            nullable = len(parts) < len(resolved)
            if len(parts) == 1:
                return {**parts[0], **_without(node, key)}, nullable
            if nullable:
                return {**_without(node, key), key: parts}, True
        return node, False


def _node(value: object) -> Node:
    """`value` if it is an object, else an empty one."""
    return msgspec.convert(value, dict[str, Any]) if isinstance(value, dict) else {}


def _items(value: object) -> list[Json]:
    """`value` if it is a list, else an empty one."""
    return msgspec.convert(value, list[Any]) if isinstance(value, list) else []


def _without(node: Node, key: str) -> Node:
    return {name: value for name, value in node.items() if name != key}


def _alternatives(node: Node) -> tuple[Json, ...]:
    """The values of an enumeration, however it is written; none if it is no enumeration."""
    if "const" in node:
        return (node["const"],)
    if "enum" in node:
        return tuple(_items(node["enum"]))
    for key in ("anyOf", "oneOf"):
        parts = [_node(part) for part in _items(node.get(key))]
        if parts and all("const" in part for part in parts):
            return tuple(part["const"] for part in parts)
    return ()


def label_of(value: Json) -> str:
    """How a value reads."""
    if value is MISSING:
        return "-"
    if isinstance(value, str):
        return value
    items, parts = _items(value), _node(value)
    if items or value == []:
        return ", ".join(map(label_of, items)) or "none"
    if parts:
        return ", ".join(f"{_label(name)}: {label_of(part)}" for name, part in parts.items())
    words = {b"true": "Yes", b"false": "No", b"null": "nothing"}
    encoded = msgspec.json.encode(value)
    return words.get(encoded, encoded.decode())


def hint_of(field: Field) -> str:
    """What kind of answer a field wants, in few words."""
    node = field.node
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    bounds = f"{'' if low is None else low}–{'' if high is None else high}"
    parts = [
        {
            "number": "a whole number" if node.get("type") == "integer" else "a number",
            "json": "JSON",
            "confirm": "y/n",
        }.get(field.kind, _HINTS.get(str(node.get("format", "")), "")),
        bounds if bounds != "–" else "",
        field.description,
    ]
    if field.default not in (MISSING, None):
        parts.append(f"Enter: {label_of(field.default)}")
    elif field.optional:
        parts.append("Enter: leave out")
    return ", ".join(part for part in parts if part)


def read_words(field: Field, words: str) -> Json:
    """The JSON value that words stand for. Raises `InvalidAnswer`."""
    given = words.strip()
    if not given and field.optional:
        return _empty(field)
    reader = _READERS.get(field.kind)
    if reader is not None:
        return reader(field, words)
    if field.kind == "list" and field.many:
        return [_pick(field, part) for part in given.split(",") if part.strip()]
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidAnswer('Please give JSON, like "words" or {"a": 1}.') from None


def _empty(field: Field) -> Json:
    if field.default is not MISSING:
        return field.default
    return MISSING if not field.required else None


def _text(field: Field, words: str) -> str:
    del field
    return words


def _number(field: Field, words: str) -> float:
    given = words.strip()
    try:
        return int(given) if field.node.get("type") == "integer" else float(given.replace(",", "."))
    except ValueError:
        raise InvalidAnswer(f"Please give {hint_of(field).partition(',')[0]}.") from None


def _confirmation(field: Field, words: str) -> bool:
    del field
    given = words.strip().casefold()
    if given in ("y", "yes", "true", "1", "on"):
        return True
    if given in ("n", "no", "false", "0", "off"):
        return False
    raise InvalidAnswer("Please answer y or n.")


def _pick(field: Field, words: str) -> Json:
    given = words.strip()
    for value in field.values:
        if given.casefold() == label_of(value).casefold():
            return value
    if given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= len(field.values):
        return field.values[int(given[:9]) - 1]
    raise InvalidAnswer(f"Please choose a number from 1 to {len(field.values)}, or its label.")


_READERS: Mapping[FieldKind, Callable[[Field, str], Json]] = {
    "text": _text,
    "number": _number,
    "confirm": _confirmation,
    "choice": _pick,
}


def _label(name: str) -> str:
    """`guestName` and `guest_name` as a person writes them."""
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in name)
    spaced = " ".join(words.replace("_", " ").replace("-", " ").split())
    return f"{spaced[:1].upper()}{spaced[1:].lower()}" if spaced else name
