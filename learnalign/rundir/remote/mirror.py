"""Keeps a local copy and a remote run directory the same: pulls before a command, pushes while it works and at its end.

The remote holds the run directory's files under their own names and, in .learnalign/, an index of them. What changes in one
push takes effect with one object, the index: new files are uploaded first, to their places, of which no index tells yet;
what replaces a file, manifests included, to .learnalign/pending. The index then names both, and whoever reads it takes the
pending ones for the files. They are copied to their places, and the index is written without them, by this command or,
if it is killed, by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from learnalign.errors import RunError, counted, listed_briefly
from learnalign.rundir import files
from learnalign.rundir.lock import InUse, Lock
from learnalign.rundir.manifest import NAME as MANIFEST
from learnalign.rundir.manifest import digest_file
from learnalign.rundir.remote.copy import Copy, Entry, check_path
from learnalign.rundir.remote.lease import Lease
from learnalign.rundir.remote.store import Store

INDEX = ".learnalign/index.json"
PENDING = ".learnalign/pending"
INTERVAL = 30.0  # seconds between two pushes of a running command, each of which renews the lease
AT_ONCE = 8  # transfers
READS = 5  # times that a reading command begins again if others push meanwhile


@dataclass(frozen=True)
class Index:
    """What the remote holds; `copy` is the local copy that wrote it, `pending` and `removed` what is to be finished."""

    version: str
    copy: str
    files: dict[str, Entry]
    pending: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class _Moving(Exception):
    """A file has changed since the snapshot that is being uploaded: the next one has it."""


class Mirror:
    """One local copy and its remote; pushes need the lease."""

    def __init__(self, store: Store, copy: Copy, lease: Lease | None) -> None:
        self._store, self._copy, self._lease = store, copy, lease
        self._index: Index | None = None
        self._there: dict[str, Entry] = {}  # what the remote holds undamaged
        self._uploaded: dict[str, Entry] = {}  # by the place, since the last index
        self._lost: set[str] = set()  # neither here nor there

    # remote to local

    def pull(self) -> None:
        """Bring the local copy up to date; what it has that was not uploaded yet stays."""
        self._pull()
        for _ in range(READS):
            if not self._lost or self._lease is not None or not self._is_overtaken():
                break
            self._pull()
        if self._lost:
            self._tell_lost()

    def _is_overtaken(self) -> bool:
        """Whether another command has pushed since the index was read, so that what was read may be of its files."""
        return self._index is not None and (self._store.read_json(INDEX) or {}).get("version") != self._index.version

    def _pull(self) -> None:
        self._index, sizes = self._read_index()
        index, (local, _) = self._index, self._copy.snapshot()
        if index is None:
            if local and self._copy.synced:
                self._set_aside("there is nothing any more")
            return
        self._there = dict(index.files)
        ours = index.copy == self._copy.id and MANIFEST in local
        if not ours and local and local != self._copy.synced:
            self._set_aside("somebody else has changed it")
            local = {}
        if self._lease is not None:
            self._finish(index)
            sizes = self._store.sizes() if sizes is None else sizes
            self._store.sweep(sizes)
            self._check_sizes(sizes)
        wanted = [path for path in sorted(index.files) if self._is_wanted(path, local, ours)]
        self._download(wanted, index)
        if not ours:
            for path in set(local) - set(index.files):
                files.delete(self._copy.root / path)
        for path in index.files:
            if PurePosixPath(path).name == MANIFEST:
                (self._copy.root / path).with_name(".lock").touch()
        if not index.copy:  # uploaded by other means: nothing tells the digests but its own manifests
            local, _ = self._copy.snapshot()
            self._there = {
                path: entry for path, entry in local.items() if index.files.get(path, (-1, ""))[0] == entry[0]
            }
        self._copy.save(self._there)

    def _read_index(self) -> tuple[Index | None, dict[str, int] | None]:
        """The index, and the sizes of all objects if they had to be asked for; None if there is no run directory."""
        if (stored := self._store.read_json(INDEX)) is None:
            sizes = self._store.sizes()
            own = {path: (size, "") for path, size in sizes.items() if not path.startswith(".learnalign/")}
            return (Index("", "", own) if MANIFEST in own else None), sizes
        try:
            listed = {path: (int(size), str(digest)) for path, (size, digest) in stored["files"].items()}
            index = Index(stored["version"], stored["copy"], listed, stored["pending"], stored["removed"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RunError(
                f"{self._store.url}/{INDEX} is no index of a run directory; put it back, or delete it"
            ) from None
        for path in [*index.files, *index.pending, *index.removed]:
            check_path(self._store.url, path)
        return index, None

    def _is_wanted(self, path: str, local: dict[str, Entry], ours: bool) -> bool:
        """Whether a file is to be downloaded: all that differs; if the remote is `ours`, what is missing but was not removed."""
        file, entry = self._copy.root / path, self._index_files[path]
        if local.get(path) == entry:
            return not file.is_file() or (PurePosixPath(path).name != MANIFEST and file.stat().st_size != entry[0])
        if not ours:
            return True
        return not any((folder / MANIFEST).is_file() for folder in self._owner(path))

    def _owner(self, path: str) -> list[Path]:
        """The local run directory, of those that the index tells, that a file belongs to."""
        for parent in PurePosixPath(path).parents:
            if str(parent / MANIFEST) in self._index_files:
                return [self._copy.root / parent]
        return []

    @property
    def _index_files(self) -> dict[str, Entry]:
        return self._index.files if self._index else {}

    def _download(self, paths: list[str], index: Index) -> None:
        """Download files whole, manifests last; those that are not as they were written are left out, and told."""
        pending = set(index.pending)

        def download(path: str) -> str | None:
            target = self._copy.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
            size, digest = index.files[path]
            try:
                for place in [*([f"{PENDING}/{path}"] if path in pending else []), path]:
                    if self._store.get(place, temporary):
                        there = digest_file(temporary)
                        if there == (size, digest) or (not digest and there[0] == size):
                            os.replace(temporary, target)
                            return None
            finally:
                files.delete(temporary)
            return path

        if paths:
            _say(f"{self._store.url}: downloading {counted(len(paths), 'file')} to {self._copy.root}")
        manifests = [path for path in paths if PurePosixPath(path).name == MANIFEST]
        others = [path for path in paths if PurePosixPath(path).name != MANIFEST]
        lost = [path for each in (others, manifests) for path in _at_once(download, each) if path]
        self._drop(lost)
        self._lost = {path for path in lost if not (self._copy.root / path).is_file()}

    def _tell_lost(self) -> None:
        url = self._store.url
        _say(
            f"{url}: missing or damaged there, and not in the local copy: {listed_briefly(sorted(self._lost))}; put them back, or have "
            f"them made again with `learnalign status {shlex.quote(url)} --repair`"
        )

    def _check_sizes(self, sizes: dict[str, int]) -> None:
        """Forget what the remote has lost since it was written: it is uploaded again if it is here."""
        self._drop([path for path, (size, _) in self._there.items() if sizes.get(path) != size])

    def _drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._there.pop(path, None)

    def _set_aside(self, why: str) -> None:
        aside = self._copy.set_aside()
        _say(f"{self._store.url}: {why} since the local copy was made, which has other content; it is kept in {aside}")

    # local to remote

    def push(self, *, final: bool = False) -> None:
        """Upload what the local copy has and the remote has not; while a command works (not `final`), what stands still.

        Raises RunError if the remote is not ours any more, or cannot be written; then it is as it was.
        """
        assert self._lease is not None, "a reading command pushes nothing"
        local, manifests = self._copy.snapshot()
        changed = [path for path, entry in local.items() if self._there.get(path) != entry]
        removed = sorted(set(self._index_files) - set(local))
        if not local or not (changed or removed):
            return
        replaced = {path for path in changed if path in self._there}
        self._check_ours()

        def upload(path: str) -> str | None:
            place, entry = f"{PENDING}/{path}" if path in replaced else path, local[path]
            if self._uploaded.get(place) == entry:
                return None
            if path in manifests:
                self._store.write(place, manifests[path])
            elif not self._upload(path, place, entry):
                if not final and path not in self._lost:
                    raise _Moving
                return path
            self._uploaded[place] = entry
            return None

        broken = {path for path in _at_once(upload, changed) if path}
        there = {path: entry for path, entry in local.items() if path not in broken}
        self._check_ours()
        index = Index(secrets.token_hex(8), self._copy.id, there, sorted(replaced - broken), removed)
        self._write_index(index)
        self._there, self._uploaded = dict(there), {}
        self._copy.save(there)
        self._finish(index)
        if unknown := sorted(broken - self._lost):
            raise RunError(
                f"{self._copy.root}: missing or damaged, so not uploaded: {listed_briefly(unknown)}; "
                f"`learnalign status {shlex.quote(self._store.url)} --repair` makes them again"
            )

    def _upload(self, path: str, place: str, entry: Entry) -> bool:
        """Whether the file was as the manifest says, before and after its upload."""
        file = self._copy.root / path
        try:
            before = file.stat()
            if digest_file(file) != entry:
                return False
            self._store.put(file, place)
            after = file.stat()
        except FileNotFoundError:
            return False
        return (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def _check_ours(self) -> None:
        """Raise RunError if another command has the lease, or has written the remote since this one read or wrote it."""
        assert self._lease is not None
        self._lease.check()
        stored = self._store.read_json(INDEX)
        version = self._index.version if self._index else ""
        if (stored or {}).get("version", "") != version:
            raise RunError(
                f"{self._store.url} was changed by another command while this one worked; nothing more is uploaded"
            )

    def _write_index(self, index: Index) -> None:
        self._store.write(INDEX, json.dumps(asdict(index), ensure_ascii=False).encode())
        self._index = index

    def _finish(self, index: Index) -> None:
        """Put what is pending in its place; may be repeated."""
        if not (index.pending or index.removed):
            return

        def place(path: str) -> None:
            with contextlib.suppress(FileNotFoundError):  # a command that was killed has put it there
                self._store.copy(f"{PENDING}/{path}", path)

        _at_once(place, index.pending)
        _at_once(self._store.delete, index.removed)
        self._write_index(Index(index.version, index.copy, index.files))
        _at_once(self._store.delete, [f"{PENDING}/{path}" for path in index.pending])


class _Watch:
    """Pushes and renews the lease now and then, in a thread, while a command works in the local copy."""

    def __init__(self, mirror: Mirror, lease: Lease, interval: float) -> None:
        self._mirror, self._lease, self._interval = mirror, lease, interval
        self._ended = threading.Event()
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self, wait: bool = True) -> None:
        self._ended.set()
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                self._lease.renew()
                self._mirror.push()
            except _Moving:
                pass
            except (RunError, OSError) as error:
                if str(error) not in self._told:
                    self._told.add(str(error))
                    _say(f"{error}; the work goes on in the local copy")


@contextlib.contextmanager
def mirrored(url: str, *, reading: bool = False, interval: float = INTERVAL) -> Iterator[Path]:
    """Give the local copy of the run directory at `url`, up to date; what the block makes in it is uploaded, whole files each.

    Args:
        url: such as s3://bucket/run; it need not be there yet.
        reading: the block changes nothing: no lease is taken, so that it may be done while another command works there.
        interval: seconds between two pushes while the block works.

    Raises InputError for a URL that cannot be used; RunError if another command drives the run directory, if it was changed
    by another one meanwhile, or if the remote file system cannot be reached. What was made stays in the local copy, and the
    next command on the same machine uploads it.
    """
    store = Store(url)
    copy = Copy(store.url)
    lock = Lock(copy.folder)
    if reading:
        try:
            with lock:
                copy.load()
                Mirror(store, copy, None).pull()
        except InUse:  # by a command that has the newest of all
            if not (copy.root / MANIFEST).is_file():
                raise
        yield copy.root
        return
    with lock:
        copy.load()
        with Lease(store, copy.id) as lease:
            mirror = Mirror(store, copy, lease)
            mirror.pull()
            yield from _worked(mirror, lease, copy.root, interval)


def _worked(mirror: Mirror, lease: Lease, root: Path, interval: float) -> Iterator[Path]:
    watch = _Watch(mirror, lease, interval)
    watch.begin()
    try:
        yield root
    except KeyboardInterrupt:  # there is no time
        watch.end(wait=False)
        _say(f"what is not uploaded yet is in {root}; the next command for it on this machine uploads it")
        raise
    except BaseException:
        watch.end()
        try:
            mirror.push(final=True)
        except RunError as error:  # that of the block is told
            _say(f"{error}; what was made is in {root}")
        raise
    watch.end()
    try:
        mirror.push(final=True)
    except RunError as error:
        raise type(error)(f"{error}; what was made is in {root}, and the same command goes on with it") from error


def _at_once(action: Callable[[str], Any], paths: Collection[str]) -> list[Any]:
    """The results of an action on every path, several at a time; the first error is raised once those begun have ended."""
    if not paths:
        return []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(action, path) for path in paths]
        try:
            return [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _say(text: str) -> None:
    print(f"learnalign: {text}", file=sys.stderr, flush=True)
