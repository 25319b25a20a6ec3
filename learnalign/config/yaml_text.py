"""Settings as YAML, by the rules of YAML 1.2's core schema: only true and false are booleans, only decimal numbers are
numbers, and 1e-6 is one; `yes`, 1:30, 010 and 0x10 are texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from learnalign.errors import InputError, one_line, short
from learnalign.inputs import check_file, opened

_MOST_BYTES = 500_000
_MOST_VALUES = 100_000  # of a document, with what its aliases stand for
_DEEPEST = 50  # levels of nesting
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]{0,99})", list("-+0123456789")),
    "float": (
        r"[-+]?((0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]{1,9})?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, and what would grow without end: aliases of aliases, deep nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = self._depth = 0
        self._sizes: dict[int, int] = {}  # of the nodes that are complete, by identity

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        where, alias = f"line {event.start_mark.line + 1}", isinstance(event, yaml.AliasEvent)
        if getattr(event, "tag", None) not in (None, "!", *(_TAG + kind for kind in ("str", "seq", "map"))):
            raise InputError(f"{where}: the tag {short(event.tag)} is not for settings; leave it out")
        before, self._depth = self._count, self._depth + 1
        if self._depth > _DEEPEST:
            raise InputError(f"{where}: nested deeper than {_DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise InputError(f"{where}: the alias *{one_line(event.anchor, 80)} stands for what it is a part of")
        self._count += self._sizes[id(node)] if alias else 1
        if self._count > _MOST_VALUES:
            raise InputError(f"{where}: more than {_MOST_VALUES:,} values, with those that aliases stand for")
        self._sizes.setdefault(id(node), self._count - before)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise InputError(f"line {line}: the key {short(key)} is not a text; put it in quotes")
            if key in lines:
                raise InputError(f"the key {one_line(key, 80)} is in line {lines[key]} and again in line {line}")
            lines[key] = line
        return super().construct_mapping(node, deep=deep)

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        check_text(text, f"line {node.start_mark.line + 1}: ")
        return text


class _Dumper(yaml.SafeDumper):
    """Puts into quotes what this schema or YAML 1.1 would take for something else."""


def _quoted_if_odd(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text with other line ends than \\n is escaped: PyYAML would fold them."""
    style = '"' if re.search("[\\r\\x85\\u2028\\u2029\\ufeff]", text) else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _quoted_if_odd)
_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1
for _kind, (_pattern, _first) in _PLAIN.items():
    for _one in (_Loader, _Dumper):
        _one.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)


def check_text(text: str, where: str) -> None:
    """Raise InputError for text that no file can hold or no path can have: half a surrogate pair, a NUL."""
    if bad := re.search("[\0\ud800-\udfff]", text):
        raise InputError(f"{where}{short(text)} has the character {bad[0]!r}, which no setting can have")


def parse_yaml(text: str) -> Any:
    """The value of a YAML document; raises yaml.YAMLError if it is none, InputError if it is refused."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (ValueError, OverflowError) as error:  # PyYAML's own, such as of "\UFFFFFFFF"
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def read_yaml(file: Path, name: str) -> Any:
    """The value of a YAML file; raises InputError, which begins with `name` or the path, if it has none."""
    check_file(file, name)
    with opened(file) as content:
        raw = content.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{name} {file}: more than {_MOST_BYTES:,} bytes; give a YAML file of settings")
    try:
        return parse_yaml(raw.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a YAML file: {one_line(error, 300)}") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def write_yaml(value: Any) -> str:
    """`value` as YAML that `parse_yaml` reads back to an equal value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
