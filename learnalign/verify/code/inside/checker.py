"""Runs a row's assertions: the program's functions are stand-ins whose calls go to the program's own sandbox and back.

Reads jobs, one line of JSON each, answers {"ask": call} and reads the reply's line, and at last {"outcomes": [...]}: for
each text of the job's code None, or why it failed. Else {"ended": why} if the program's values made the process end, or
{"failed": why} if the assertions cannot be run, whatever the program is.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from . import child, wire

Ask = Callable[[dict[str, Any]], dict[str, Any]]
_LONGEST_MESSAGE = 200
_MEMORY = 2 * 2**30  # bytes of address space of a row's assertions


class Ended(BaseException):
    """The program's process is over; no further test can pass."""


class Unusable(BaseException):
    """The assertions cannot be run, whatever the program is."""


def serve(lines: Iterator[bytes], write: Callable[[bytes], object], channel: tuple[int, ...]) -> None:
    """Do jobs until there are no more, each in a process of its own that keeps the descriptors `channel`."""
    for line in lines:
        job = json.loads(line)
        sys.path += [place for place in job["path"] if place not in sys.path]
        _prepare_numpy(job)  # once for all jobs
        nothing = os.open(os.devnull, os.O_RDWR)

        def body(job: dict[str, Any] = job) -> None:
            write(wire.dumps(check(job, lambda message: _asked(message, lines, write))))

        how = child.run_child(body, job["total_seconds"], _MEMORY, (nothing, nothing, nothing), channel)
        os.close(nothing)
        if how["signal"] == signal.SIGKILL:  # by the kernel, or by somebody else
            write(wire.dumps({"failed": "the row's assertions: their process was killed"}))
        elif how["status"] != "ok":  # the program's values can be made to do it
            write(wire.dumps({"ended": how["status"]}))


def _asked(message: dict[str, Any], lines: Iterator[bytes], write: Callable[[bytes], object]) -> dict[str, Any]:
    write(wire.dumps({"ask": message}))
    reply: dict[str, Any] = json.loads(next(lines))
    return reply


def check(job: dict[str, Any], ask: Ask) -> dict[str, Any]:
    """Run the job's texts; returns {"outcomes": [None for each that passes, else why not]}, or {"failed": why}."""
    try:
        return {"outcomes": _outcomes(job["code"], _namespace(job, _Program(ask)))}
    except Unusable as error:
        return {"failed": f"the row's assertions: {error}"}


def _namespace(job: dict[str, Any], program: _Program) -> dict[str, Any]:
    """The names that the texts use: what the setup defines, and the program's functions for all others."""
    _prepare_numpy(job)
    namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    try:
        exec(compile(job["setup"], "setup", "exec"), namespace)
        free = set[str]().union(*(_free_names(text) for text in (job["setup"], *job["code"])))
    except BaseException as error:
        raise Unusable(_said(error)) from None
    for name in {*(name for name in free if name not in namespace), *filter(None, [job["entry_point"]])}:
        namespace[name] = _Function(program, {"name": name})
    return namespace


def _outcomes(code: list[str], namespace: dict[str, Any]) -> list[str | None]:
    outcomes: list[str | None] = []
    for text in code:
        try:
            exec(compile(text, "tests", "exec"), namespace)
            outcomes.append(None)
        except Ended as error:
            return [*outcomes, *[str(error)] * (len(code) - len(outcomes))]
        except Unusable:
            raise
        except BaseException as error:
            outcomes.append("wrong" if type(error).__name__ == "AssertionError" else _said(error))
    return outcomes


def _said(error: BaseException) -> str:
    said = str(error)[:_LONGEST_MESSAGE]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _prepare_numpy(job: dict[str, Any]) -> None:
    """Import numpy if the texts do; for them nothing is close to an empty array but another one, as numpy has it."""
    if "numpy" in sys.modules or not any("numpy" in text for text in (job["setup"], *job["code"])):
        return
    with contextlib.suppress(ImportError):
        import numpy

        close = numpy.allclose

        @functools.wraps(close)
        def allclose(a: Any, b: Any, *more: Any, **named: Any) -> bool:
            return (numpy.size(a) == 0) == (numpy.size(b) == 0) and close(a, b, *more, **named)

        numpy.allclose = allclose


class _Program:
    """The program at the other end: its functions and objects are called by messages."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def call(self, target: dict[str, Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        sent = {
            "op": "call",
            **target,
            "arguments": [wire.encode(each, _number) for each in arguments],
            "keywords": {key: wire.encode(each, _number) for key, each in keywords.items()},
        }
        reply = self.reply(sent)
        for ours, before, after in zip(arguments, sent["arguments"], reply.get("arguments", []), strict=False):
            if before != after:
                _replace(ours, wire.decode(after, self.stand_in))
        return wire.decode(reply["value"], self.stand_in)

    def get(self, target: dict[str, Any], attribute: str) -> Any:
        return wire.decode(self.reply({"op": "get", **target, "attribute": attribute})["value"], self.stand_in)

    def reply(self, message: dict[str, Any]) -> dict[str, Any]:
        reply = self._ask(message)
        if "ended" in reply:
            raise Ended(reply["ended"])
        if "raised" in reply:
            raise _raised(*(str(reply[key]) for key in ("raised", "base", "message")))
        return reply

    def stand_in(self, number: int, kind: str) -> _Function:
        return _Function(self, {"object": number}, kind)


class _Function:
    """A function or an object of the program. It is equal to nothing but itself, so that no object passes for a value."""

    def __init__(self, program: _Program, target: dict[str, Any], kind: str = "function") -> None:
        self._program, self._target, self._kind = program, target, kind

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._program.call(self._target, arguments, keywords)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return self._program.get(self._target, attribute)

    def __repr__(self) -> str:
        return f"<{self._kind} of the program>"


def _number(value: Any) -> int:
    """The number of an object of the program; nothing else can be sent."""
    if isinstance(value, _Function) and "object" in value._target:
        return int(value._target["object"])
    raise Unusable(f"a {type(value).__name__.lstrip('_')} cannot be passed to the program")


def _raised(name: str, base: str, message: str) -> Exception:
    """An error like the program's: of Python's own class, or of one of its name under the nearest of Python's own."""
    kind = getattr(builtins, base, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return RuntimeError(f"{name}: {message}")
    return (kind if name == base else type(name, (kind,), {}))(message)


def _replace(ours: Any, theirs: Any) -> None:
    """Do to an argument what the program did to it."""
    if isinstance(ours, list) and isinstance(theirs, list):
        ours[:] = theirs
    elif isinstance(ours, dict | set) and type(ours) is type(theirs):
        ours.clear()
        ours.update(theirs)


def _free_names(text: str) -> set[str]:
    """The names that `text` uses and nothing in it, nor Python, defines."""
    used, defined = set[str](), set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            defined.add(node.name)
    return used - defined - set(dir(builtins))
