"""Runs one program on the inputs of its tests; it never sees what they should give.

Reads a job, one line of JSON, and answers with lines: first whether the program could be loaded, then one reply per test.
A test of kind `run` is the whole program with standard input; `call` is one call of the entry point, in a process of its
own that has run the program's statements; `session` is such a process that answers calls, a line each, until a line "end".
A test that runs out of time or memory is the last one.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from . import child, wire
from .program import CompiledProgram, NoCompiler, PythonProgram, Refused, add_exit, write_all

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as a small test
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_ERROR_BYTES = 2_000  # of standard error's end
_FATAL = ("time", "memory")
_LOADING_MEMORY = 2 * 2**30  # bytes of address space
Program = PythonProgram | CompiledProgram


def serve(lines: Iterator[bytes], write: Callable[[bytes], object]) -> None:
    """Do one job: load the program, answer every test."""
    line = next(lines)
    job = json.loads(line)
    child.ALONE["alone"] = job["alone"]
    sys.path += job["path"]
    sys.set_int_max_str_digits(0)
    add_exit()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    # For compiling, whatever a test may take, which sets its own.
    resource.setrlimit(resource.RLIMIT_AS, (max(_LOADING_MEMORY, 2 * job["memory"]) + 8 * len(line), most))
    try:
        program = _load(job)
    except Refused as error:
        write(wire.dumps({"refused": str(error)}))
        return
    except NoCompiler as error:
        write(wire.dumps({"failed": str(error)}))
        return
    job["memory"] += program.own_memory
    write(wire.dumps({"loaded": True}))
    for test in job["tests"]:
        if test["kind"] == "session":
            _answer_calls(program, job, lines, write)
            continue
        reply = _run(program, test, job["seconds"], job["memory"])
        write(wire.dumps(reply))
        if reply["status"] in _FATAL:
            return


def _load(job: dict[str, Any]) -> Program:
    if job["language"] == "python":
        return PythonProgram(job["prelude"], job["program"])
    if any(test["kind"] != "run" for test in job["tests"]):
        raise Refused("its functions are to be called, so it must be Python")
    return CompiledProgram(job["program"], os.getcwd())


def _run(program: Program, test: dict[str, Any], seconds: float, memory: int) -> dict[str, Any]:
    def body() -> None:
        if test["kind"] == "call" and isinstance(program, PythonProgram):
            program.call(test["name"], test["arguments"])
        program.start(test.get("arguments", []))

    files = child.anonymous_file(), child.anonymous_file(), child.anonymous_file()
    try:
        for name, text in test.get("files", {}).items():
            with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        write_all(files[0], test.get("stdin", "").encode("utf-8", "surrogateescape"))
        os.lseek(files[0], 0, os.SEEK_SET)
        reply = child.run_child(body, seconds, memory, files)
        printed, said = child.content(files[1]), child.content(files[2])[-_ERROR_BYTES:]
    except OSError as error:  # the program has filled the disk
        return {"status": "error", "error": f"no room for the next test ({error.strerror})", "seconds": 0.0}
    finally:
        for descriptor in files:
            os.close(descriptor)
    if reply["status"] == "error" and (b"bad_alloc" in said or b"MemoryError" in said):
        reply["status"] = "memory"
    if reply["status"] != "ok" and len(printed) >= child.MOST_OUTPUT:
        reply["status"] = "output"
    last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
    why = f"signal {reply['signal']}" if reply["signal"] else f"exit status {reply['code']}"
    return {**reply, "error": last[0] if last else why, "printed": printed.decode("utf-8", "surrogateescape")}


def _answer_calls(
    program: Program, job: dict[str, Any], lines: Iterator[bytes], write: Callable[[bytes], object]
) -> None:
    from .session import Session

    assert isinstance(program, PythonProgram)
    session = Session(program, job)
    for line in lines:
        if line == b"end\n":
            break
        write(session.ask(line))
    session.close()
