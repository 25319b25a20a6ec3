"""`learnalign config`: every key with its type, default and description."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Json, print_json, print_table

if TYPE_CHECKING:
    from learnalign.config.keys import Key

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="KEY", help="A key or a section, e.g. grad or grad.dim; all if left out.", show_default=False
    ),
]
Schema = Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a config file, for editors.")]


def config(key: Name = None, schema: Schema = False, as_json: Json = False) -> None:
    """Explain the settings: type, default and description of every key.

    For completion and checks in an editor: learnalign config --schema > learnalign.schema.json, and as first line of the
    YAML file: # yaml-language-server: $schema=learnalign.schema.json
    """
    from learnalign.config.keys import json_schema, keys

    found = keys(key or "")
    if schema:
        print_json(json_schema())
    elif as_json:
        print_json([asdict(one) for one in found])
    elif len(found) == 1:
        _show(found[0])
    else:
        rows = [[one.key, _brief(one), _default(one), one.description] for one in found]
        print_table("", ["key", "type", "default", "description"], rows)


def _brief(key: Key) -> str:
    return _type(key, "a name") if len(key.values) > 2 else key.type


def _type(key: Key, names: str) -> str:
    """The type, with words for the names."""
    return key.type.replace("one of " + ", ".join(key.values), names)


def _default(key: Key) -> str:
    return "required" if key.required else _yaml(key.default)


def _yaml(value: Any) -> str:
    from learnalign.config import write_yaml

    return write_yaml({"": value}).partition(":")[2].strip()


def _show(key: Key) -> None:
    """One key, and each of its names with one line."""
    print(f"{key.key}: {key.description}")
    print(f"type: {_type(key, 'one of the names below') if key.values else key.type}")
    print(f"default: {_default(key)}")
    if key.values:
        print_table("", ["name", ""], [[name, about] for name, about in key.values.items()])
