"""The subset file: the chosen prompts, best first, in the format that a trainer reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from learnalign.names import check_name
from learnalign.prompts import Prompt
from learnalign.rundir.files import atomic_path

Writer = Callable[[Path, Sequence[Prompt]], None]


def write_source(path: Path, prompts: Sequence[Prompt]) -> None:
    """Write the prompts' input rows verbatim, one a line."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(prompt.source + "\n" for prompt in prompts)


FORMATS: dict[str, Writer] = {"source": write_source}


def find_format(name: str) -> Writer:
    """The writer of that format; raises InputError naming the known ones."""
    return FORMATS[check_name("format", name, FORMATS)]
