"""DIR/results.jsonl: the record of every finished cell, a line each; what is there is never computed again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learnalign.errors import InputError, RunError
from learnalign.papers.cells import Cell
from learnalign.rundir.files import read_jsonl, write_jsonl

Record = dict[str, Any]
WHOLE = {"cell", "fingerprint", "accuracy", "costs"}  # keys of every record


class Results:
    """The records by fingerprint: cells with the same settings, such as those of two panels' stand-ins, have one."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "results.jsonl"
        self.read()

    def read(self) -> None:
        """Read the file again: another command may have added to it."""
        lines = read_jsonl(self.file) if self.file.is_file() else []
        for number, line in enumerate(lines, 1):
            if not isinstance(line, dict) or not line.keys() >= WHOLE:
                raise RunError(
                    f"{self.file}, line {number}: not the record of a cell; delete the line, and the cell is made again from "
                    "what its run directory has"
                )
        self._records: dict[str, Record] = {line["fingerprint"]: line for line in lines}

    def of(self, cell: Cell) -> Record | None:
        """The record of a cell, if it is finished."""
        return self._records.get(cell.fingerprint)

    def add(self, record: Record) -> None:
        """Keep a record; the file appears whole."""
        self._records[record["fingerprint"]] = record
        write_jsonl(self.file, self._records.values())

    def others(self, cells: Sequence[Cell]) -> int:
        """How many finished cells are none of `cells`."""
        return len(self._records.keys() - {cell.fingerprint for cell in cells})

    def check(self, cells: Sequence[Cell]) -> None:
        """Raise InputError if a cell of `cells` was finished with other settings."""
        known = {cell.fingerprint for cell in cells}
        keys = {cell.key for cell in cells}
        other = [
            line["cell"] for line in self._records.values() if line["cell"] in keys and line["fingerprint"] not in known
        ]
        if other:
            raise InputError(
                f"{self.file}: {', '.join(other[:3])}{' and more' if len(other) > 3 else ''} were made with other settings than "
                "the table has now. Ways out: undo the change; choose another directory (--dir); or delete these lines, and they "
                "are made again"
            )
