"""Large files of lines, read by several processes, each of which packs the prompts of a part of a file if all its rows are plain.

`learnalign.pool_readers FD`, run as a module, is one of them; it answers over the socket FD. A part that is not plain, or that no process
has answered, is read by this one, as all of smaller files is: rows, order and errors are the same.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import io
import itertools
import json
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from learnalign.batches import Batch, batches_of, keeps_lines, line_files, read_batches
from learnalign.config import DataConfig
from learnalign.errors import InputError
from learnalign.inputs import COMPRESSIONS, readable, state_of
from learnalign.isolation import environment, own_module
from learnalign.plain_rows import plain_columns, system_turns, takes_columns
from learnalign.pool_table import FIELDS, ROWS, Packed, group_of, packed
from learnalign.rundir.machine import usable_cpus

LEAST = 1 << 27  # bytes of all files: a process takes half a second to start
LEAST_EACH = 1 << 23  # bytes of a file on average: parts end with their file
_MOST = 8  # processes: this one cannot keep more of them busy
# Settings of glibc: memory that is freed stays with the process, which takes as much again at once.
_KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}
_SELDOM = 16  # parts, of which one is asked for while none of them is plain
_SAMPLE = 1 << 20  # bytes of a file that tell how long its lines are
_SMALLEST, _LARGEST = 1 << 18, 1 << 23  # bytes of a part, whatever they tell


@dataclass(frozen=True)
class Group:
    """Prompts of rows that follow each other, the names of these rows' columns, and the questions' digests if these are not the ids."""

    names: Sequence[str]
    questions: Sequence[str] | None
    packed: Packed

    def __len__(self) -> int:
        return self.packed.rows


class Part(NamedTuple):
    """The lines of a file that begin from byte `start` to `stop`, which is past the last; None: to the end."""

    path: str
    state: list[int]  # of the file when it was opened first
    start: int
    stop: int | None

    def of(self, file: BinaryIO) -> bytes:
        """The lines."""
        file.seek(max(0, self.start - 1))
        if self.start:
            file.readline()
        if self.stop is None:
            return file.read()
        length = self.stop - file.tell()
        return file.read(length - 1) + file.readline() if length > 0 else b""


def read_groups(data: DataConfig) -> Generator[Batch | Group]:
    """The rows of `read_batches`, with its errors, many of a large file as prompts; raises InputError also if a large file changes."""
    files, readers = line_files(data), min(usable_cpus(), _MOST)
    size = sum(map(_size, files))
    plain = takes_columns(data) and all(file.suffix.lower() not in COMPRESSIONS for file in files)
    if not files or readers < 2 or not plain or size < LEAST or size < LEAST_EACH * len(files):
        yield from read_batches(data)
        return
    rows = lines = 0  # of all files, and of this one
    numbered = keeps_lines(data)
    with _Readers(readers, data) as reading, contextlib.ExitStack() as opened:
        for file, part, group in reading.each(itertools.chain.from_iterable(map(parts_of, files))):
            if not part.start:
                opened.close()  # the file before it
                opened.enter_context(file)
                lines = 0
            if group is not None:
                yield replace(group, packed=group.packed._replace(rows_before=rows, lines_before=lines))
                rows, lines = rows + len(group), lines + len(group)
                continue
            with readable(Path(part.path)):
                content, state = part.of(file), state_of(file.fileno())
            if state != part.state:
                raise InputError(f"{part.path}: it has changed while it was read; run the same command again")
            for batch in batches_of(io.BytesIO(content), Path(part.path), lines + 1, numbered):
                yield batch
                rows += len(batch)
            lines += content.count(b"\n")


def _size(file: Path) -> int:
    with readable(file):
        return file.stat().st_size


def parts_of(path: Path) -> Iterator[tuple[BinaryIO, Part]]:
    """A file in parts of about `ROWS` lines, and the file, opened."""
    with readable(path):
        file = path.open("rb")
        sample, state = file.read(_SAMPLE), state_of(file.fileno())
    each = len(sample) * ROWS // max(1, sample.count(b"\n"))
    each = min(max(each, _SMALLEST), _LARGEST)
    starts = range(0, max(1, state[2]), each)
    return ((file, Part(str(path), state, start, start + each if start != starts[-1] else None)) for start in starts)


class _Readers:
    """So many processes that read parts of files for `data`; they end with the block, or with this process."""

    def __init__(self, count: int, data: DataConfig) -> None:
        self._count, self._processes = count, list[subprocess.Popen[bytes]]()
        self._free = queue.SimpleQueue[Connection | None]()  # None at its end: all have ended
        self._ended: list[Connection] = []
        self._refused = self._passed = 0  # parts in a row that were not plain, or were not asked for therefore
        with contextlib.suppress(OSError, TypeError):  # as many as can be started
            for _ in range(count):
                self._start(data)
        if not self._processes:
            self._free.put(None)
        self._threads = ThreadPoolExecutor(count)  # one waits for each

    def _start(self, data: DataConfig) -> None:
        own, far = Pipe()
        with far:
            process = subprocess.Popen(
                own_module("learnalign.pool_readers", str(far.fileno())),
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**_KEEPING, **environment()},
            )
        self._processes.append(process)
        with contextlib.suppress(OSError):  # it has ended, which is noticed when it is asked
            own.send_bytes(json.dumps(data.model_dump()).encode())
        self._free.put(own)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.wait()
        while not self._free.empty():
            if connection := self._free.get():
                connection.close()

    def each(self, parts: Iterator[tuple[BinaryIO, Part]]) -> Iterator[tuple[BinaryIO, Part, Group | None]]:
        """The parts in their order, and the prompts of each; None if they must be read otherwise."""
        waiting, unreadable = deque[tuple[BinaryIO, Part, Future[Group | None]]](), None
        while True:
            try:
                for file, part in itertools.islice(parts, 2 * self._count - len(waiting)):
                    waiting.append((file, part, self._threads.submit(self._ask, part)))
            except InputError as error:  # of a later file: what comes before it is read first
                parts, unreadable = iter(()), error
            if not waiting:
                break
            file, part, answer = waiting.popleft()
            yield file, part, answer.result()
        if unreadable:
            raise unreadable

    def _ask(self, part: Part) -> Group | None:
        """The prompts of a part; while many in a row are not plain, one in `_SELDOM` is asked for, so that little is read twice."""
        if self._refused >= 2 * self._count and self._passed < _SELDOM:
            self._passed += 1
            return None
        group, self._passed = self._answer(part), 0
        self._refused = 0 if group else self._refused + 1
        return group

    def _answer(self, part: Part) -> Group | None:
        if (reader := self._free.get()) is None:
            self._free.put(None)
            return None
        try:
            reader.send_bytes(json.dumps(part).encode())
            answer = json.loads(reader.recv_bytes())
            content = b"" if answer is None else reader.recv_bytes()
        except (EOFError, OSError):
            reader.close()
            self._ended.append(reader)
            if len(self._ended) == len(self._processes):
                self._free.put(None)
            return None
        self._free.put(reader)
        if answer is None:
            return None
        import pyarrow as pa

        return Group(answer["names"], answer["questions"], Packed(answer["rows"], pa.py_buffer(content)))


def main() -> None:
    """Answer the process at the other end of the socket until that one closes it."""
    connection = Connection(int(sys.argv[1]))
    gc.disable()  # nothing made here refers to itself
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        data = DataConfig(**json.loads(connection.recv_bytes()))
        numbered = keeps_lines(data)
        while True:
            part = Part(*json.loads(connection.recv_bytes()))
            group = _group_of(part, data, numbered)
            if group is None:
                connection.send_bytes(b"null")
            else:
                about = {"names": group.names, "questions": group.questions, "rows": len(group)}
                connection.send_bytes(json.dumps(about).encode())
                connection.send_bytes(group.packed.content)


def _lines_of(part: Part) -> bytes:
    """Its lines; none if the file has changed."""
    try:
        with open(part.path, "rb") as file:
            content = part.of(file)
            return content if state_of(file.fileno()) == part.state else b""
    except OSError:  # renamed or deleted: who has opened it before can read it
        return b""


def _group_of(part: Part, data: DataConfig, numbered: bool) -> Group | None:
    """The prompts of a part, with rows counted from 0 and lines, if they are `numbered`, from 1; None unless each line is one."""
    content = _lines_of(part)
    if part.start and content.startswith(codecs.BOM_UTF8):  # which only the first line of a file may have
        return None
    questions: list[str] = []
    names: dict[str, None] = {}
    columns: list[list[Any]] = [[] for _ in FIELDS]
    try:
        for given in batches_of(io.BytesIO(content), Path(part.path), 1, numbered):
            if not (found := plain_columns(given, len(questions), data)):
                return None
            questions += found[0]
            names |= dict.fromkeys(itertools.chain.from_iterable(given.rows))
            for column, values in zip(columns, found[1], strict=True):
                column += values
    except InputError:  # whoever asks reads it again, and says the right line
        return None
    if not questions or len(questions) != content.count(b"\n") + (not content.endswith(b"\n")):  # some are blank
        return None
    return Group(list(names), questions if data.id else None, packed(group_of(columns, system_turns(data))))


if __name__ == "__main__":
    main()
