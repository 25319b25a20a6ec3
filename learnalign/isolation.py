"""Keeps files of the current directory from being imported: the folder of a data set may hold a json.py of its own.

Imports only what Python has loaded before it looks there.
"""

import os
import sys


def drop_current_directory() -> None:
    """Take the current directory off this process's module path and off the PYTHONPATH of the processes it starts."""
    sys.path[:] = module_path()
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = _python_path()


def module_path() -> list[str]:
    """`sys.path` without the current directory, unless PYTHONPATH names it in full or it is an installed package's place."""
    library = os.path.dirname(os.__file__)
    ahead = sys.path.index(library) if library in sys.path else len(sys.path)
    named = any(os.path.isabs(entry) and _is_here(entry) for entry in _entries())
    return [entry for place, entry in enumerate(sys.path) if place > ahead or named or not _is_here(entry)]


def own_module_path() -> list[str]:
    """`module_path`, with the place of this package."""
    path, home = module_path(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return path if home in path else [*path, home]


def python(*arguments: str) -> list[str]:
    """The command of a Python process that does not import from the current directory; see `environment`."""
    return [sys.executable, "-P", *arguments]


_BOOT = """
import sys
sys.path[:] = {path!r}
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def own_module(name: str, *arguments: str) -> list[str]:
    """The command of a Python process that runs a module of this package as `python -m` does, and finds modules where this one does.

    PYTHONPATH would reach the processes that it starts, too, which may be of another Python.
    """
    return python("-c", _BOOT.format(path=own_module_path()), name, *arguments)


def environment() -> dict[str, str]:
    """The environment of such a process: PYTHONPATH without the current directory, which an empty entry means."""
    return {**os.environ, **({"PYTHONPATH": _python_path()} if "PYTHONPATH" in os.environ else {})}


def _entries() -> list[str]:
    return os.environ.get("PYTHONPATH", "").split(os.pathsep)


def _python_path() -> str:
    return os.pathsep.join(entry for entry in _entries() if os.path.isabs(entry) or not _is_here(entry))


def _is_here(entry: str) -> bool:
    return os.path.realpath(entry) == os.path.realpath(os.curdir)
