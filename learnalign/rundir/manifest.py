"""manifest.jsonl: size and digest of everything that a run directory's commands write, so that damage and mix-ups show.

A line for each file, or directory that appears as a whole, appended just before it takes its place; the last line of a
path counts. A command killed in between leaves the old content under the new line: so the very last line, and no other,
may also describe what was there before. Every line has a digest of its own. The first line names the run directory, as
run.json does. XXH3-128 finds damage at the memory's speed; it does not keep out a forger.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import IO, Any

import xxhash

NAME = "manifest.jsonl"
ITSELF = "."
DONE = "done"  # key of the line after an entry whose file has taken its place
_BLOCK = 1 << 22

Files = dict[str, tuple[int, str]]  # size and digest by the path inside a directory; a file's own is `ITSELF`


def digest_file(path: Path) -> tuple[int, str]:
    """Size and digest of a file's content."""
    digest, size, block = xxhash.xxh3_128(), 0, bytearray(_BLOCK)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(memoryview(block)[:count])
            size += count
    return size, digest.hexdigest()


def files_of(path: Path) -> Files:
    """Sizes and digests of a file, or of all files of a directory; empty if there is nothing."""
    if path.is_dir():
        return {str(file.relative_to(path)): digest_file(file) for file in sorted(path.rglob("*")) if file.is_file()}
    return {ITSELF: digest_file(path)} if path.is_file() else {}


def manifest_of(path: Path) -> Manifest | None:
    """The manifest of the run directory that holds `path`; None outside of one, or if an earlier version made it without."""
    for root in Path(os.path.abspath(path)).parents:
        listed = os.path.isfile(f"{root}/{NAME}")
        if listed or os.path.isfile(f"{root}/config.yaml"):
            return _opened(root) if listed and os.path.isfile(f"{root}/.lock") else None
    return None


class Manifest:
    """The digests of one run directory's files, and changes of them; other processes may write it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / NAME
        self._name = ""
        self.damaged_lines: list[int] = []
        self._files: dict[str, Files] = {}
        self._above = set[str]()  # the directories that hold any path of `_files`
        self._last, self._before = "", Files()  # the path of the last line, and what the manifest had of it before
        self._read, self._lines = 0, 0
        self._open: IO[bytes] | None = None  # kept open, so that its inode is not given to another file
        self._settled = False
        self._reading = threading.Lock()  # a shard is written while the next one is computed
        self.checked: set[str] = set()  # directories that this process has compared as a whole

    @property
    def name(self) -> str:
        """Of the run directory that it was made for; empty if an earlier version made it."""
        self._refresh()
        return self._name

    def paths(self) -> dict[str, Files]:
        """What is stored: files by the path of each file or whole directory, relative to the run directory."""
        self._refresh()
        return {path: files for path, files in self._files.items() if files}

    def within(self, name: str) -> list[str]:
        """The stored paths that are `name`, below it, or a whole directory that holds it."""
        above = {str(parent) for parent in PurePath(name).parents}
        return [path for path in self.paths() if path == name or path.startswith(f"{name}/") or path in above]

    def expected(self, path: Path) -> list[tuple[int, str]]:
        """The size and digest that a file must have, or either of two; empty if the manifest has none of it."""
        self._refresh()
        name = os.path.relpath(os.path.abspath(path), self.root)
        owners = [name, *(str(parent) for parent in PurePath(name).parents)]
        known = [_part(self._files[own], own, name) for own in owners if own in self._files]
        known.append(_part(self._before, self._last, name))
        return [one for one in known if one is not None]

    def damage(self, path: str, *, read: bool = True) -> dict[str, str]:
        """What is wrong with the files of a stored path, by their paths; without `read`, only sizes are compared."""
        self._refresh()
        wrong: dict[str, str] = {}
        for own in self._files.get(path, {}):
            name = path if own == ITSELF else f"{path}/{own}"
            file = self.root / name
            if not file.is_file():
                wrong[name] = "missing"
                continue
            expected = self.expected(file)
            size = file.stat().st_size
            if size not in [one[0] for one in expected] or (read and digest_file(file) not in expected):
                wrong[name] = "damaged"
        if wrong and path == self._last and _holds(self.root / path, self._before):
            return {}
        return wrong

    @contextlib.contextmanager
    def change(self, path: Path, files: Files) -> Iterator[None]:
        """Say that `path` is about to hold `files` (none: to be removed); the block does it. Undone if that fails."""
        name = os.path.relpath(os.path.abspath(path), self.root)
        with self._alone() as file:
            self._settle(file)
            before = self._files.get(name, {})
            self._append(file, name, files)
            try:
                yield
            except BaseException:
                self._append(file, name, before)
                raise
            self._write(file, _line({DONE: name}))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[IO[bytes]]:
        with _locked(self.file) as file:
            self._refresh()
            file.seek(self._read)
            file.truncate()  # the beginning of a line whose process was killed
            yield file

    def is_torn(self) -> bool:
        """Whether the last line is cut off: the process that wrote it was killed, or the file was cut."""
        with self.file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # nobody is writing it
            self._refresh()
            return os.fstat(file.fileno()).st_size > self._read

    def mend_end(self) -> None:
        """Drop the beginning of a last line that is cut off."""
        if self.is_torn():
            with self._alone():
                pass

    def _settle(self, file: IO[bytes]) -> None:
        """Once: repeat what the last line replaced, if a killed process left it in place."""
        if self._settled or not self._last:
            self._settled = True
            return
        self._settled = True
        if self._files.get(self._last) != self._before and _holds(self.root / self._last, self._before):
            self._append(file, self._last, self._before)

    def _append(self, file: IO[bytes], path: str, files: Files) -> None:
        self._write(file, _entry(path, files))
        with _named(self.file):
            os.fsync(file.fileno())

    def _write(self, file: IO[bytes], line: bytes) -> None:
        with self._reading, _named(self.file):
            file.write(line)
            file.flush()
            self._take(line)

    def _refresh(self) -> None:
        """Read what was appended since the last time."""
        with self._reading:
            self._read_on()

    def _read_on(self) -> None:
        if not self.file.is_file():
            return
        status = self.file.stat()
        cut = status.st_size < self._read
        if self._open is None or cut or not os.path.samestat(status, os.fstat(self._open.fileno())):  # written anew
            self._open = self.file.open("rb")
            self._name, self._files, self._last, self._before = "", {}, "", {}
            self._above = set()
            self._read, self._lines, self.damaged_lines = 0, 0, []
        if status.st_size == self._read:
            return
        appended = os.pread(self._open.fileno(), status.st_size - self._read, self._read)
        for line in appended.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._take(line)

    def _take(self, line: bytes) -> None:
        self._read += len(line)
        self._lines += 1
        try:
            text = line.decode()
            body, _, check = text.rstrip("\n").rpartition(', "check": "')
            if check != f'{_check(body + "}")}"}}':
                raise ValueError("another digest")
            entry = json.loads(body + "}")
        except ValueError:
            self.damaged_lines.append(self._lines)
            return
        if "name" in entry:
            self._name = entry["name"]
            return
        if DONE in entry:
            self._last, self._before = "", {}
            return
        path, files = entry["path"], {name: (size, digest) for name, (size, digest) in entry["files"].items()}
        self._last, self._before = path, self._files.get(path, {})
        if path in self._above:
            for other in [other for other in self._files if other.startswith(f"{path}/")]:
                del self._files[other]
        self._above.update(str(parent) for parent in PurePath(path).parents)
        self._files[path] = files
        self.checked.discard(path)


@functools.lru_cache(maxsize=256)
def _opened(root: Path) -> Manifest:
    return Manifest(root)


def write_manifest(root: Path, stored: Mapping[str, Files], name: str | None = None) -> None:
    """Write the whole manifest of a run directory: what is `stored` in it, by path; a new `name` if none is given."""
    temporary, path = root / f".{NAME}.tmp", root / NAME
    try:
        with _named(path), temporary.open("wb") as file:
            file.write(manifest_bytes(stored, name or secrets.token_hex(8)))
            file.flush()
            os.fsync(file.fileno())
        with _locked(path) if path.is_file() else contextlib.nullcontext():
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def manifest_bytes(stored: Mapping[str, Files], name: str) -> bytes:
    """The content of the manifest called `name` of what is `stored`, by path."""
    lines = [_line({"name": name}), *(_entry(path, files) for path, files in stored.items())]
    return b"".join(lines + [_line({DONE: path}) for path in list(stored)[-1:]])


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the disk name the file; those of a write do not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write it: {error.strerror}", str(path)) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, opened while no other process changes or replaces it."""
    while True:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # not replaced while this one waited
                yield file
                return


def _entry(path: str, files: Files) -> bytes:
    return _line({"path": path, "files": files})


def _line(content: Mapping[str, Any]) -> bytes:
    body = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return f'{body[:-1]}, "check": "{_check(body)}"}}\n'.encode()


def _part(files: Files, own: str, name: str) -> tuple[int, str] | None:
    """What `files`, stored of the path `own`, say about the file `name`."""
    if own == name:
        return files.get(ITSELF)
    return files.get(name[len(own) + 1 :]) if name.startswith(f"{own}/") else None


def _holds(path: Path, files: Files) -> bool:
    """Whether exactly these files are at `path`; sizes first, since reading takes longer."""
    there = (
        {str(file.relative_to(path)): file.stat().st_size for file in path.rglob("*") if file.is_file()}
        if path.is_dir()
        else {ITSELF: path.stat().st_size}
        if path.is_file()
        else {}
    )
    return there == {name: size for name, (size, _) in files.items()} and files_of(path) == files


def _check(body: str) -> str:
    return xxhash.xxh3_64_hexdigest(body.encode())
