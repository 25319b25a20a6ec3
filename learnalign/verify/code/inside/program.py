"""A program in the process of its test: a Python program as Python would start it, a compiled one by its binary."""

from __future__ import annotations

import atexit
import builtins
import io
import json
import os
import re
import resource
import sys
import types

from . import child, wire

TYPE_CHECKING = False  # as `typing` has it, whose import takes as long as a small test
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn, TextIO

# Loaded once, before the tests' processes are forked, if the program imports them.
_COMMON = {
    *(
        "array",
        "bisect",
        "cmath",
        "collections",
        "copy",
        "datetime",
        "decimal",
        "fractions",
        "functools",
        "heapq",
        "io",
    ),
    *("itertools", "json", "math", "numpy", "operator", "queue", "random", "re", "statistics", "string", "threading"),
    *("time", "typing"),
}
_COMPILER = ("g++", "-std=c++17", "-O2", "-pipe", "-x", "c++", "-", "-o")
_COMPILE_SECONDS, _COMPILE_MEMORY = 30, 2 * 2**30
_MAPPED = (
    128 * 2**20
)  # bytes of address space that Python and its libraries have without using them: numpy 104 million on some CPUs
_LONGEST_MESSAGE = 500


class Refused(Exception):
    """The program cannot be run at all."""


class NoCompiler(Exception):
    """Programs of this kind cannot be run here."""


class PythonProgram:
    """Compiled once; `start` is run in the forked process of a test."""

    def __init__(self, prelude: str, text: str) -> None:
        self._code = [_compile(each) for each in (prelude, text) if each.strip()]
        for name in _imports(prelude, text) & _COMMON:
            try:
                __import__(name)
            except ImportError:
                continue
        # Of the address space of a test's process, which is a copy of this one.
        self.own_memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + _MAPPED

    def start(self, arguments: list[str]) -> NoReturn:
        """Run the whole program and end the process as Python would."""
        sys.argv = ["program.py", *arguments]
        self._end_with(lambda: self._statements("__main__"))

    def call(self, name: str, arguments: list[Any]) -> NoReturn:
        """Call a function of the program once and write its value as one line to descriptor 1."""
        result = os.dup(1)
        os.dup2(2, 1)

        def body() -> None:
            value = resolve(self._statements("program"), name)(*arguments)
            write_all(result, wire.dumps(wire.encode(value, lambda _: 0)))

        self._end_with(body)

    def answer(self, read: Iterator[bytes], write: Callable[[bytes], object]) -> NoReturn:
        """Answer calls of the program's functions until there are no more."""
        self._end_with(lambda: _answer(lambda: self._statements("program"), read, write))

    def _statements(self, name: str) -> dict[str, Any]:
        module = types.ModuleType(name)
        module.__file__ = sys.argv[0]
        sys.modules[name] = module
        namespace = vars(module)
        for code in self._code:
            exec(code, namespace)
        return namespace

    def _end_with(self, body: Callable[[], object]) -> NoReturn:
        sys.stdin = sys.__stdin__ = _text_file(0, "r")  # type: ignore[misc, assignment]
        sys.stdout = sys.__stdout__ = _text_file(1, "w")  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = _text_file(2, "w")  # type: ignore[misc, assignment]
        atexit._clear()
        status = _status(body)
        status = _status(_end_of_python) or status
        os._exit(status)


def _text_file(descriptor: int, mode: str) -> TextIO:
    errors = "backslashreplace" if descriptor == 2 else "surrogateescape"
    return open(descriptor, mode, encoding="utf-8", errors=errors, closefd=False)  # type: ignore[return-value]


def _end_of_python() -> None:
    """What Python does at its end: wait for threads, run what is registered, flush."""
    if threading := sys.modules.get("threading"):
        threading._shutdown()
    atexit._run_exitfuncs()
    for file in (sys.stdout, sys.__stdout__, *vars(sys.modules["__main__"]).values()):
        if isinstance(file, io.IOBase) and not file.closed:
            file.flush()


def _status(body: Callable[[], object]) -> int:
    try:
        body()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except MemoryError:
        return child.OUT_OF_MEMORY
    except BaseException as error:
        message = f"{type(error).__name__}: {str(error)[:_LONGEST_MESSAGE]}\n"
        os.write(2, message.encode("utf-8", "backslashreplace"))
        return 1
    return 0


def _answer(load: Callable[[], dict[str, Any]], read: Iterator[bytes], write: Callable[[bytes], object]) -> None:
    namespace: dict[str, Any] | None = None
    objects: list[Any] = []

    def keep(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    def plain(data: Any) -> Any:
        return wire.decode(data, lambda number, _: objects[number])

    for line in read:
        message = json.loads(line)
        try:
            namespace = load() if namespace is None else namespace
            target = objects[message["object"]] if "object" in message else resolve(namespace, message["name"])
            if message["op"] == "get":
                reply = {"value": wire.encode(getattr(target, message["attribute"]), keep)}
            else:
                arguments = [plain(each) for each in message["arguments"]]
                keywords = {key: plain(each) for key, each in message["keywords"].items()}
                value = wire.encode(target(*arguments, **keywords), keep)
                reply = {"value": value, "arguments": [wire.encode(each, keep) for each in arguments]}
        except MemoryError:
            os._exit(child.OUT_OF_MEMORY)
        except BaseException as error:
            kinds = type(error).__mro__
            base = next(kind.__name__ for kind in kinds if kind.__module__ == "builtins")
            reply = {"raised": kinds[0].__name__, "base": base, "message": str(error)[:_LONGEST_MESSAGE]}
        write(wire.dumps(reply))


def resolve(namespace: dict[str, Any], name: str) -> Any:
    """A function of the program by name; a method of that name of its class Solution goes first, on a new object."""
    solution = namespace.get("Solution")
    if isinstance(solution, type) and hasattr(solution, name):
        return getattr(solution(), name)
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined")
    return namespace[name]


class CompiledProgram:
    """A C++ program, compiled in a process with limits of its own."""

    own_memory = 0

    def __init__(self, text: str, directory: str) -> None:
        if not any(os.access(os.path.join(place, _COMPILER[0]), os.X_OK) for place in os.get_exec_path()):
            raise NoCompiler(f"there is no C++ compiler ({_COMPILER[0]}) in the sandbox")
        self._binary = os.path.join(directory, "program")
        source, error = child.anonymous_file(), child.anonymous_file()
        write_all(source, text.encode("utf-8", "surrogateescape"))
        os.lseek(source, 0, os.SEEK_SET)

        def compile_it() -> None:
            os.execvp(_COMPILER[0], [*_COMPILER, self._binary])

        reply = child.run_child(compile_it, _COMPILE_SECONDS, _COMPILE_MEMORY, (source, error, error))
        lines = [line for line in child.content(error).decode("utf-8", "replace").splitlines() if "error" in line]
        os.close(source)
        os.close(error)
        if reply["status"] in ("time", "memory"):
            raise Refused(f"the compiler ran out of {reply['status']}")
        if reply["status"] != "ok":
            raise Refused(f"syntax error: {lines[0][:200] if lines else 'the compiler failed'}")

    def start(self, arguments: list[str]) -> NoReturn:
        """Turn the test's process into the program."""
        os.execv(self._binary, [self._binary, *arguments])


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`."""
    while data:
        data = data[os.write(descriptor, data) :]


def _compile(text: str) -> types.CodeType:
    try:
        return compile(text, "program.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Refused(f"syntax error: {error.msg} (line {error.lineno})") from None
    except (ValueError, RecursionError, OverflowError, UnicodeError) as error:
        raise Refused(f"syntax error: {type(error).__name__}: {error}") from None
    except MemoryError:
        raise Refused("the compiler ran out of memory") from None


def _imports(*texts: str) -> set[str]:
    """The names behind `import` and `from`, at a guess: what is loaded too early or too late costs time alone."""
    lines = [
        line for text in texts for line in re.findall(r"^[ \t]*(?:import|from)[ \t]+([^\n#]+)", text, re.MULTILINE)
    ]
    return {name for line in lines for name in re.findall(r"\w+", line)}


def add_exit() -> None:
    """Give programs the names that Python's `site` would: exit and quit."""
    for name in ("exit", "quit"):
        if not hasattr(builtins, name):
            setattr(builtins, name, sys.exit)
