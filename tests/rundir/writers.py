"""Every function that writes a file of a run directory, and, as a program, each of them on a disk that has no more room."""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch

from learnalign.errors import RunError
from learnalign.outputs import open_output
from learnalign.rundir import files
from learnalign.rundir.manifest import write_manifest

LONG = "x" * 20_000
ROWS = [{"a": LONG}]
NUMBERS = torch.rand(5_000)


def _directory(path: Path) -> None:
    with files.atomic_path(path) as folder:
        folder.mkdir()
        (folder / "small").write_text("x")
        (folder / "large").write_text(LONG)


def _output(path: Path) -> None:
    with open_output(path) as file:
        file.write(LONG.encode())


def _manifest(path: Path) -> None:
    write_manifest(path.parent, {path.name: {".": (1, LONG)}})


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: files.write_text(path, LONG),
    "lines": lambda path: files.write_lines(path, [LONG]),
    "json": lambda path: files.write_json(path, ROWS),
    "jsonl": lambda path: files.write_jsonl(path, ROWS),
    "csv": lambda path: files.write_csv(path, ROWS),
    "parquet": lambda path: files.write_parquet(path, pa.table({"x": NUMBERS.numpy()}), "f"),
    "safetensors": lambda path: files.write_safetensors(path, {"x": NUMBERS}, {}, "f"),
    "directory": _directory,
    "output": _output,
    "manifest": _manifest,
}


def main(root: Path) -> None:
    """Print, for each, the error's class and what lies in its folder afterwards."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails with EFBIG
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    told = {}
    for name, write in WRITERS.items():
        folder = root / name
        folder.mkdir()
        try:
            write(folder / "file")
        except (OSError, RunError) as error:
            told[name] = [type(error).__name__, sorted(path.name for path in folder.iterdir())]
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
