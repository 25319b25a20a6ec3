"""Where programs run: a sandbox does a job, what one program does on the inputs of its tests, or on its assertions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from learnalign.errors import RunError


class SandboxFailed(RunError):
    """The sandbox could not do a job, whatever the program is: the completion is not scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a test and of a completion.

    Args:
        seconds: CPU time of one test; by the clock it may take three times as long and 2 s.
        total_seconds: all tests of a completion, by the clock.
        memory: bytes of address space of one test, and of memory of all processes of a completion.
    """

    seconds: float = 6.0
    total_seconds: float = 60.0
    memory: int = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program and the inputs of its tests, in the words of `inside.runner`."""

    program: str
    language: str
    prelude: str
    tests: tuple[dict[str, Any], ...]
    limits: Limits

    def message(self, path: Sequence[str], alone: bool) -> dict[str, Any]:
        """What the runner is told.

        Args:
            path: directories with packages that the program may import.
            alone: whether there are no processes beside the program's.
        """
        return {**asdict(self), **asdict(self.limits), "path": list(path), "alone": alone}


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job: why the program could not be loaded, or a reply per test that was run, in order.

    `ended` says why there is no reply for the tests that follow, if there are any.
    """

    refused: str | None = None
    replies: tuple[dict[str, Any], ...] = ()
    ended: str = ""


def checked(reply: dict[str, Any]) -> bool:
    """Whether a reply has the form of `inside.runner`'s: it comes from where a stranger's program runs."""
    texts = (reply.get("status"), reply.get("error", ""), reply.get("printed", ""))
    return all(isinstance(text, str) for text in texts) and (reply["status"] != "ok" or "printed" in reply)


class Sandbox(Protocol):
    """Runs programs, any number at once (each caller in a thread of its own); raises SandboxFailed."""

    def run(self, job: Job) -> Done:
        """Run the program on the inputs of its tests."""
        ...

    def check(self, job: Job, assertions: dict[str, Any]) -> Done:
        """Run assertions (`inside.checker`) on the program's functions; a reply is {"outcome": None or why it failed}."""
        ...

    def close(self) -> None:
        """End what runs."""
        ...
