"""Every key in words: its type, default and description; the nearest one to a typo; the JSON schema for editors."""

from __future__ import annotations

import difflib
import functools
import re
import typing
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from learnalign.config.preset import PRESETS
from learnalign.config.schema import Config
from learnalign.errors import InputError, one_line

_LARGE = 1 << 31  # bounds from here on are the computer's, and go without saying


@dataclass(frozen=True, kw_only=True)
class Key:
    """A setting: `type` in words, `default` as JSON value; `values` are its names with one line each, if it has names."""

    key: str
    type: str
    default: Any
    required: bool
    description: str
    values: dict[str, str] = field(default_factory=dict)


# What the loader takes and no Config has: it is resolved before.
SHORTHANDS: dict[str, dict[str, Any]] = {
    "base": {
        "type": "string",
        "description": "ready config or YAML file that this one stands on, section by section",
    },
    "data.preset": {
        "type": "string",
        "enum": [*PRESETS],
        "enumDescriptions": [preset.about for preset in PRESETS.values()],
        "description": "known pool or shape of rows: gives data's columns and the verifier; keys beside it override them",
    },
}


@functools.cache
def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a config file, shorthands included."""
    schema = Config.model_json_schema()
    for key, value in SHORTHANDS.items():
        section, _, name = key.rpartition(".")
        _resolved(schema, section.split(".") if section else [])["properties"][name] = value
    schema.pop("required")  # a base may have given it, and a preset the path
    for section in ("model", "data"):
        _resolved(schema, [section]).pop("required")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def keys(section: str = "") -> list[Key]:
    """The key of that name, or all keys of a section in the order of the schema; raises InputError with the nearest."""
    every = _every_key()
    found = [key for key in every if not section or key.key == section or key.key.startswith(f"{section}.")]
    if not found:
        raise InputError(f"unknown key {one_line(section, 120)}; {hint(section)}")
    return found


def hint(key: str) -> str:
    """What was meant by a key that is not known: the nearest, or one of that name elsewhere, or the known ones."""
    section, _, last = key.rpartition(".")
    known = keys_of(section.split(".") if section else [])
    nearest = difflib.get_close_matches(last[:100], known, n=1, cutoff=0.5)
    near = [f"{section}.{nearest[0]}" if section else nearest[0]] if nearest else []
    elsewhere = [full for full in all_keys() if full.rpartition(".")[2] == last]
    if near or elsewhere:
        return f"did you mean {(near or elsewhere)[0]}?"
    return f"known here: {', '.join(known or keys_of([]))}"


def type_of(key: str) -> str | None:
    """The type of a key in words, such as "an integer of 1 or more"; None for what is inside a list or mapping."""
    return next((one.type for one in _every_key() if one.key == key), None)


def keys_of(parents: list[str]) -> list[str]:
    """The names in the section at a path; none if there is no such section."""
    model: type[BaseModel] | None = Config
    for parent in parents:
        model = _sections(model).get(parent) if model else None
    own = [key.rpartition(".")[2] for key in SHORTHANDS if key.split(".")[:-1] == parents]
    return [*_sections(model), *own] if model else []


def all_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key that holds no section."""
    found: list[str] = []
    for name, section in _sections(model).items():
        found += all_keys(section, f"{prefix}{name}.") if section else [prefix + name]
    return found


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Field names of a section; the value is the section a field holds, if it holds one."""
    return {name: _section_of(each.annotation) for name, each in model.model_fields.items()}


def _section_of(annotation: Any) -> type[BaseModel] | None:
    options = typing.get_args(annotation) or (annotation,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


@functools.cache
def _every_key() -> list[Key]:
    defaults = Config.model_validate({"model": {"name": "NAME"}, "data": {"path": "FILE"}}).model_dump(mode="json")
    found = _keys_in(json_schema(), Config, defaults, "")
    base = next(key for key in found if key.key == "base")
    return [base, *(key for key in found if key is not base)]


def _keys_in(schema: dict[str, Any], model: type[BaseModel], defaults: dict[str, Any], prefix: str) -> list[Key]:
    found = []
    for name, value in schema["properties"].items():
        key, section = prefix + name, _sections(model).get(name)
        required = name in model.model_fields and model.model_fields[name].is_required()
        if section is None or defaults.get(name) is None:
            found.append(_key(key, value, None if required else defaults.get(name), required))
        if section is not None:
            inner = defaults.get(name) or _defaults_of(section)
            found += _keys_in(_resolved(json_schema(), key.split(".")), section, inner, f"{key}.")
    return found


def _defaults_of(section: type[BaseModel]) -> dict[str, Any]:
    """Of a section that is null unless it is given."""
    fields = section.model_fields.items()
    return {name: each.default for name, each in fields if not each.is_required()}


def _key(key: str, schema: dict[str, Any], default: Any, required: bool) -> Key:
    named: dict[str, Any] = next(
        (option for option in (schema, *schema.get("anyOf", ())) if "enumDescriptions" in option), {}
    )
    values = dict(zip(named.get("enum", ()), named.get("enumDescriptions", ()), strict=False))
    about = schema.get("description", "")
    return Key(key=key, type=words(schema), default=default, required=required, description=about, values=values)


def _resolved(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The schema of the section at a path of keys."""
    at = schema
    for name in path:
        at = at["properties"][name]
        options = [at, *at.get("anyOf", ())]
        reference = next(option["$ref"] for option in options if "$ref" in option)
        at = schema["$defs"][reference.rpartition("/")[2]]
    return at


def words(schema: dict[str, Any]) -> str:
    """The type that a JSON schema describes, in words."""
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(words(option) for option in schema["anyOf"]))
    if "$ref" in schema:
        return "a value" if schema["$ref"].endswith("JsonValue") else "a section"
    if "enum" in schema or "const" in schema:
        names = schema.get("enum", [schema.get("const")])
        return "one of " + ", ".join(map(str, names)) if len(names) > 1 else str(names[0]).lower()
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return f"{'an integer' if kind == 'integer' else 'a number'}{_bounds(schema)}"
    if kind == "array":
        one = words(schema["items"])
        if "enum" in schema["items"]:
            return f"a list of some of {one.removeprefix('one of ')}"
        _, noun, bounds = re.fullmatch(r"(an? )?(\w+)(.*)", one).groups()  # type: ignore[union-attr]
        return f"a list of {noun}s{bounds}"
    if "pattern" in schema:
        return " or ".join(schema.get("examples", ())) or f"a text that matches {schema['pattern']}"
    return {"boolean": "true or false", "string": "a text", "null": "null", "object": "a mapping"}.get(kind, "a value")


def _bounds(schema: dict[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if schema["type"] == "integer":
        least, above = (above + 1 if above is not None else least), None
        below = None if below is not None and below >= _LARGE else below
    most = None if most is not None and most >= _LARGE else most
    if least is not None and most is not None:
        return f" from {_number(least)} to {_number(most)}"
    bounds = {"of {} or more": least, "above {}": above, "of at most {}": most, "below {}": below}
    texts = [text.format(_number(bound)) for text, bound in bounds.items() if bound is not None]
    return f" {' and '.join(texts)}" if texts else ""


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0")
