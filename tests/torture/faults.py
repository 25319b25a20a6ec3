"""Single writes that fail: which there are in a command, and the library (faulty.c) that lets one of them fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from tests.torture.commands import COMMANDS
from tests.torture.places import Place
from tests.torture.trials import Skipped

_compiling = threading.Lock()


def calls_of(place: Place, command: str) -> list[tuple[str, str]]:
    """The writing calls of the command, undisturbed, in turn: kind and path."""
    log = place.root / f"calls-{command}"
    if not log.is_file():
        place.state(command)
        place.set_back(COMMANDS[command].after)
        result = place.finish(COMMANDS[command].line, **preloaded(place), TORTURE_LOG=str(log))
        assert result.code == 0, result.last_line()
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    return [(call, path) for call, path in lines]


def kind_of(call: str, path: str) -> str:
    """The call and the file's final name without its numbers: what counts as a kind of write."""
    final = re.sub(r"\.?([^/]*?)\.\d+-[0-9a-f]{8}\.tmp", r"\1", path.partition("/run/")[2])
    return f"{call} {re.sub(r'[0-9a-f]{16}|[0-9]+|tmp[A-Za-z0-9]{6}', '#', final)}"


def preloaded(place: Place) -> dict[str, str]:
    """The environment in which writes below the run directory can fail."""
    library = place.root.parent / "faulty.so"
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        raise Skipped("errors of single writes need Linux and a C compiler")
    with _compiling:
        if not library.is_file():
            source = Path(__file__).with_name("faulty.c")
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "TORTURE_BELOW": str(place.run)}
