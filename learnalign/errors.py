"""The errors a user can cause or meet: each message names the file, row, key or prompt, and every way out."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

LONGEST = 1500  # characters of a message


class LearnAlignError(Exception):
    """Base of every error that learnalign raises on purpose; printed without a traceback, as one line."""

    exit_code = 1
    is_final = True  # another worker would meet it, too

    def __init__(self, message: str) -> None:
        whole = message.isprintable() and len(message) <= LONGEST
        super().__init__(message if whole else one_line(message, LONGEST))


class InputError(LearnAlignError):
    """Wrong use, configuration or input: exit code 2."""

    exit_code = 2


class RunError(LearnAlignError):
    """The work itself failed (disk full, engine did not start, too many bad gradients): exit code 1."""

    exit_code = 1


class DiskError(RunError):
    """The disk refused a write: nothing that a command tries next would fare better."""


class WorkerError(RunError):
    """A worker failed in a way that another one need not: its engine's process ended, a GPU was lost."""

    is_final = False


class Unfinished(LearnAlignError):
    """What this process was to do is done, and the stage is not: others do the rest. Exit code 0."""

    exit_code = 0

    def __init__(self, message: str, **state: str | int) -> None:
        super().__init__(message)
        self.state = state


def one_line(error: object, limit: int | None = None) -> str:
    """The text of `error` on one line, what cannot be printed escaped; of more than `limit` characters, beginning and end."""
    text = str(error)
    if limit is not None and len(text) > 8 * limit:
        text = f"{text[: 4 * limit]} {text[-4 * limit :]}"
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    if limit is not None and len(text) > limit:
        text = f"{text[: limit // 2 - 1]}…{text[len(text) - (limit - limit // 2) :]}"
    return text


def short(value: object, limit: int = 80) -> str:
    """The repr of a user's value for a message, at most `limit` characters, whatever the value's size."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxlong = brief.maxother = limit
    brief.maxlevel = 3
    try:
        return one_line(brief.repr(value), limit)
    except ValueError:  # a whole number of more digits than Python prints
        return f"a {type(value).__name__} of many digits"


def listed_briefly(names: Iterable[str], most: int = 20) -> str:
    """Names with commas, the first of them if there are many, each of at most 80 characters."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(one_line(name, 80) for name in names[:most]) + more


def counted(count: float, noun: str, plural: str | None = None) -> str:
    """A number and what it counts: 1 prompt, 2,000 prompts; `plural` is for nouns that take more than an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
