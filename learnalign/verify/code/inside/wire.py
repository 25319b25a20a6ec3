"""Python values as JSON, between a program and its tests: plain data alone crosses, so that no object of the program does.

Exact types survive: None, bool, int, float, str as they are; list, tuple, set, frozenset, dict, bytes, complex, iterators
and numpy arrays tagged. A subclass comes out as its base. Anything else stays with its owner, under a number.
"""

from __future__ import annotations

import binascii
import json

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as a small test
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST_ITEMS = 1_000_000  # of an iterator
_VIEWS: tuple[type, ...] = (range, type({}.keys()), type({}.values()), type({}.items()))
_SEQUENCES: tuple[tuple[type, str], ...] = ((list, "list"), (tuple, "tuple"), (frozenset, "frozenset"), (set, "set"))


def dumps(message: object) -> bytes:
    """One line of JSON."""
    return json.dumps(message).encode() + b"\n"


def encode(value: Any, keep: Callable[[Any], int]) -> Any:
    """Make `value` fit for JSON; `keep` stores what is no data and returns its number."""
    if value is None or isinstance(value, bool | float | str):
        return _base(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else {"int": hex(value)}
    for kind, name in _SEQUENCES:
        if isinstance(value, kind):
            return {name: [encode(each, keep) for each in kind.__iter__(value)]}  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {"dict": [[encode(key, keep), encode(each, keep)] for key, each in dict.items(value)]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": binascii.b2a_base64(value, newline=False).decode()}
    if isinstance(value, _VIEWS) or _is_iterator(type(value)):
        return {"iterator": [encode(each, keep) for each, _ in zip(value, range(MOST_ITEMS + 1), strict=False)]}
    if type(value).__module__ == "numpy":
        data = encode(value.tolist(), keep)
        return {"array": data} if type(value).__name__ == "ndarray" else data
    return {"object": keep(value), "type": type(value).__name__}


def _is_iterator(kind: type) -> bool:
    """Whether it is a class of Python's own iterators; one of the program's may be more than that."""
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def _base(value: Any) -> Any:
    """The plain value of None, a bool, a float or a str, or of an instance of a subclass."""
    if isinstance(value, float):
        return float.__float__(value)
    return str.__str__(value) if isinstance(value, str) else value


def decode(data: Any, fetch: Callable[[int, str], Any]) -> Any:
    """Undo `encode`; `fetch(number, type)` returns what stands for an object."""
    if not isinstance(data, dict):
        return data
    if "object" in data:
        return fetch(int(data["object"]), str(data["type"]))
    ((name, inner),) = data.items()
    if name == "int":
        return int(inner, 16)
    if name == "dict":
        return {decode(key, fetch): decode(value, fetch) for key, value in inner}
    if name == "complex":
        return complex(*inner)
    if name == "bytes":
        return binascii.a2b_base64(inner)
    if name == "array":
        return _array(decode(inner, fetch))
    items = [decode(each, fetch) for each in inner]
    for kind, tag in _SEQUENCES:
        if tag == name:
            return kind(items)  # type: ignore[call-arg]
    if name == "iterator":
        return iter(items)
    raise ValueError(f"no such kind of value: {name!r}")


def plain(data: Any) -> Any:
    """Return the JSON value that `data` stands for, tuples as lists; an object, which equals nothing, for what JSON has not.

    For one who does not trust the sender: no key is hashed but texts, since whole numbers can be made to collide.
    """
    if not isinstance(data, dict):
        return data
    ((name, inner),) = data.items()
    if name in ("list", "tuple"):
        return [plain(each) for each in inner]
    if name == "int":
        return int(inner, 16)
    if name != "dict":
        return object()
    pairs = [(plain(key), plain(value)) for key, value in inner]
    found = {str(key) if type(key) is int else key: value for key, value in pairs if type(key) in (int, str)}
    return found if len(found) == len(pairs) else object()


def _array(items: Any) -> Any:
    try:
        import numpy
    except ImportError:
        return items
    return numpy.array(items)
