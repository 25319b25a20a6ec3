"""A task: inputs, two independent ways to the answers, five right programs and five that are subtly wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SOURCES = Path(__file__).parent / "sources"


class Program(NamedTuple):
    """A program, and what is wrong with it (empty: nothing)."""

    source: str
    language: str
    mistake: str


@dataclass(frozen=True)
class Task:
    """A task of one function, or of standard input and output.

    Args:
        name: of the task, and of its function.
        inputs: per test the arguments, or the text of standard input.
        reference, check: what the test must give, in two ways that share no code with the programs; for printed tasks,
            functions of the input's text.
        comparison: how the printed text is compared.
        seconds: limit of a test.
        by_tokens: whether its wrong programs are wrong also where lines and upper case do not count.
    """

    name: str
    inputs: list[Any]
    reference: Callable[..., Any]
    check: Callable[..., Any]
    comparison: str = "lines"
    seconds: float | None = None
    by_tokens: bool = True

    @property
    def printed(self) -> bool:
        """Whether the task is one of standard input and output."""
        return isinstance(self.inputs[0], str)

    def expected(self) -> list[Any]:
        """The answers, by the reference."""
        return [self.reference(given) if self.printed else self.reference(*given) for given in self.inputs]

    def checked(self) -> list[Any]:
        """The answers again, the other way."""
        return [self.check(given) if self.printed else self.check(*given) for given in self.inputs]

    def all_programs(self) -> list[Program]:
        """The programs, right ones first: of sources/NAME.txt, each after a line `#+` or `#- MISTAKE`, with `cpp` if in C++."""
        text = (SOURCES / f"{self.name}.txt").read_text(encoding="utf-8")
        parts = re.split(r"^#([+-])(?: (cpp)\b)? ?(.*)\n", text, flags=re.MULTILINE)[1:]
        return [
            Program(source, language or "python", mistake)
            for _, language, mistake, source in zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
        ]
