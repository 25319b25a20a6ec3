"""The contests' prelude: a program gets the same names from the part that it needs as from the whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from learnalign.verify.code.prelude import CONTESTS, needed


@pytest.fixture(autouse=True)
def recursion_limit() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


def names_of(prelude: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(prelude, names)
    return names


def test_every_name_is_what_the_whole_prelude_makes_it() -> None:
    whole = names_of(CONTESTS)
    assert {"Counter", "List", "heappush", "gcd", "accumulate", "inf", "pow", "datetime", "stdin"} <= whole.keys()
    different = [
        name
        for name in whole
        if name != "__builtins__" and names_of(needed(CONTESTS, f"f({name})"))[name] is not whole[name]
    ]
    assert different == []


def test_several_names_are_what_the_whole_prelude_makes_them() -> None:
    whole, part = names_of(CONTESTS), names_of(needed(CONTESTS, "pow(sqrt(2), 3); copy.copy(datetime); count()"))
    assert [part[name] is whole[name] for name in ("pow", "sqrt", "copy", "datetime", "count")] == [True] * 5


def test_a_program_without_such_names_imports_nothing_that_takes_time() -> None:
    part = needed(CONTESTS, "n = int(input())\nx.count(n).mean()\nprint(n)\n")
    assert part.split("\n") == ["from builtins import *", "import sys", "sys.setrecursionlimit(50_000)"]


def test_any_other_prelude_stays_whole() -> None:
    assert needed("import math\n", "print(1)") == "import math\n"
    assert needed("", "Counter()") == ""
