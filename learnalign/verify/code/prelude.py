"""What programs of contest data sets may use without importing it: the names that LiveCodeBench's grader imports for them.

They are those of the other graders and more. Importing all of it takes longer than most tests, so a program gets only the
modules of which it has a name.
"""

from __future__ import annotations

import functools
import importlib
import re

# In the order in which they are imported: of a name that two have, the last one's counts, and Python's own before those.
_MODULES = (
    *(
        "string",
        "re",
        "datetime",
        "collections",
        "heapq",
        "bisect",
        "copy",
        "math",
        "random",
        "statistics",
        "itertools",
    ),
    *("functools", "operator", "io", "sys", "json"),
)
_STARS = (*_MODULES, "builtins", "typing")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


def _written(stars: tuple[str, ...], modules: tuple[str, ...]) -> str:
    return "\n".join(
        [f"from {name} import *" for name in stars]
        + [f"import {name}" for name in modules]
        + ["import sys", "sys.setrecursionlimit(50_000)"]
    )


CONTESTS = _written(_STARS, _MODULES)


def needed(prelude: str, program: str) -> str:
    """What of a prelude a program needs: of the contests', the imports of names that stand in the program; any other whole."""
    if prelude != CONTESTS:
        return prelude
    names = set(_NAME.findall(program))
    modules = tuple(name for name in _MODULES if name in names)
    return _written(tuple(name for name in _STARS if not names.isdisjoint(_exported(name))), modules)


@functools.cache
def _exported(name: str) -> frozenset[str]:
    """The names that `from name import *` binds."""
    module = importlib.import_module(name)
    return frozenset(getattr(module, "__all__", [each for each in vars(module) if not each.startswith("_")]))
