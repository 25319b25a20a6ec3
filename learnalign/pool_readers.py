"""Large files of lines, read by several processes, each of which packs the prompts of a part of a file if all its rows are plain.

`python -m learnalign.pool_readers FD` is one of them; it answers over the socket FD. A part that is not plain, or that no process has
answered, is read by this one, as all of smaller files is: rows, order and errors are the same.
"""

from __future__ import annotations

import gc
import io
import itertools
import json
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from learnalign.batches import TOGETHER, Batch, batches_of, keeps_lines, line_files, plain_lines, read_batches
from learnalign.config import DataConfig
from learnalign.inputs import COMPRESSIONS, readable
from learnalign.isolation import environment, python
from learnalign.plain_rows import plain_columns, system_turns, takes_columns
from learnalign.pool_table import FIELDS, ROWS, Packed, group_of, packed
from learnalign.rundir.machine import usable_cpus

LEAST, LEAST_EACH = (
    1 << 27,
    1 << 23,
)  # bytes of all files, for a process takes half a second to start, and of a file on average
_MOST = 8  # processes: this one cannot keep more of them busy
# Settings of glibc: memory that is freed stays with the process, which takes as much again at once.
_KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 28)}
_SAMPLE = 1 << 20  # bytes of a file that tell how long its lines are


@dataclass(frozen=True)
class Group:
    """Prompts of rows that follow each other, the names of these rows' columns, and the questions' digests if these are not the ids."""

    names: Sequence[str]
    questions: Sequence[str] | None
    packed: Packed

    def __len__(self) -> int:
        return self.packed.rows


class Part(NamedTuple):
    """The lines of a file that begin from byte `start` to `stop`, which is past the last."""

    path: str
    start: int
    stop: int

    def read(self) -> bytes:
        """Raises InputError if the file cannot be read."""
        with readable(Path(self.path)), open(self.path, "rb") as file:
            if self.start:
                file.seek(self.start - 1)
                file.readline()
            length = self.stop - file.tell()
            return file.read(length - 1) + file.readline() if length > 0 else b""


def read_groups(data: DataConfig) -> Generator[Batch | Group]:
    """The rows of `read_batches`, with its errors; many of a large file as prompts."""
    files, readers = line_files(data), min(usable_cpus(), _MOST)
    plain = takes_columns(data) and all(file.suffix.lower() not in COMPRESSIONS for file in files)
    size = sum(file.stat().st_size for file in files)
    if readers < 2 or not plain or size < LEAST or size < LEAST_EACH * len(files):
        yield from read_batches(data)
        return
    rows = lines = 0  # of all files, and of this one
    numbered = keeps_lines(data)
    with _Readers(readers, data) as reading:
        for part, group in reading.each(itertools.chain.from_iterable(map(parts_of, files))):
            lines = lines if part.start else 0
            if group is None:
                content = part.read()
                for batch in batches_of(io.BytesIO(content), Path(part.path), lines + 1, numbered):
                    yield batch
                    rows += len(batch)
                lines += content.count(b"\n")
            else:
                yield replace(group, packed=group.packed._replace(rows_before=rows, lines_before=lines))
                rows, lines = rows + len(group), lines + len(group)


def parts_of(file: Path) -> Iterator[Part]:
    """A file in parts of about `ROWS` lines."""
    with readable(file), file.open("rb") as opened:
        sample, size = opened.read(_SAMPLE), file.stat().st_size
    each = max(1, len(sample) * ROWS // max(1, sample.count(b"\n")))
    return (Part(str(file), start, min(start + each, size)) for start in range(0, size, each))


class _Readers:
    """So many processes that read parts of files for `data`; they end with the block, or with this process."""

    def __init__(self, count: int, data: DataConfig) -> None:
        self._count = count
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._processes = []
        for _ in range(count):
            own, far = Pipe()
            with far:
                process = subprocess.Popen(
                    python("-m", "learnalign.pool_readers", str(far.fileno())),
                    pass_fds=[far.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**_KEEPING, **environment()},
                )
            self._processes.append(process)
            with suppress(OSError):  # it has ended; nothing that it is asked is answered
                own.send_bytes(json.dumps(data.model_dump()).encode())
            self._free.put(own)
        self._threads = ThreadPoolExecutor(count)  # one waits for each

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
            self._free.get().close()

    def each(self, parts: Iterable[Part]) -> Iterator[tuple[Part, Group | None]]:
        """The parts in their order, and the prompts of each; None if they must be read otherwise."""
        left, waiting = iter(parts), deque[tuple[Part, Future[Group | None]]]()
        while True:
            for part in itertools.islice(left, 2 * self._count - len(waiting)):
                waiting.append((part, self._threads.submit(self._ask, part)))
            if not waiting:
                return
            part, answer = waiting.popleft()
            yield part, answer.result()

    def _ask(self, part: Part) -> Group | None:
        reader = self._free.get()
        try:
            reader.send_bytes(json.dumps(part).encode())
            if (answer := json.loads(reader.recv_bytes())) is None:
                return None
            content = reader.recv_bytes()
        except (EOFError, OSError):  # it has ended
            return None
        finally:
            self._free.put(reader)
        import pyarrow as pa

        return Group(answer["names"], answer["questions"], Packed(answer["rows"], pa.py_buffer(content)))


def main() -> None:
    """Answer the process at the other end of the socket until that one closes it."""
    connection = Connection(int(sys.argv[1]))
    gc.disable()  # nothing made here refers to itself
    with suppress(EOFError, OSError, KeyboardInterrupt):
        data = DataConfig(**json.loads(connection.recv_bytes()))
        numbered = keeps_lines(data)
        while True:
            part = Part(*json.loads(connection.recv_bytes()))
            group = _group_of(part.read(), data, numbered)
            if group is None:
                connection.send_bytes(b"null")
            else:
                about = {"names": group.names, "questions": group.questions, "rows": len(group)}
                connection.send_bytes(json.dumps(about).encode())
                connection.send_bytes(group.packed.content)


def _group_of(content: bytes, data: DataConfig, numbered: bool) -> Group | None:
    """The prompts of lines, with rows counted from 0 and lines, if they are `numbered`, from 1; None unless there are some, all plain."""
    questions: list[str] = []
    names: dict[str, None] = {}
    columns: list[list[Any]] = [[] for _ in FIELDS]
    file = io.BytesIO(content)
    while lines := list(itertools.islice(file, TOGETHER)):
        place = len(questions)
        if not (plain := plain_lines(lines)):
            return None
        given = Batch(*plain, range(place + 1, place + 1 + len(lines)) if numbered else None)
        if not (found := plain_columns(given, place, data)):
            return None
        questions += found[0]
        names |= dict.fromkeys(itertools.chain.from_iterable(given.rows))
        for column, values in zip(columns, found[1], strict=True):
            column += values
    if not questions:
        return None
    return Group(list(names), questions if data.id else None, packed(group_of(columns, system_turns(data))))


if __name__ == "__main__":
    main()
