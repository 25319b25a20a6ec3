"""Files and directories that appear whole or not at all, and their removal; the manifest of their run directory knows of both."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from learnalign.errors import DiskError, one_line
from learnalign.rundir.manifest import files_of, manifest_of


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed and renamed, on failure nothing is left.

    What stands in a run directory is entered in its manifest. A directory is replaced as a whole.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        every = [*temporary.rglob("*"), temporary]  # all files of a directory
        _allow_reading(every, path)
        for each in every:
            _sync(each)
        with _entered(path, temporary):
            put(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # which the library raises where Python raises OSError
            raise
        raise DiskError(f"cannot write {path}: {one_line(error, 200)}") from error
    finally:
        delete(temporary)


def _allow_reading(files: Sequence[Path], path: Path) -> None:
    """Give files that their writer made private, as safetensors does, the permissions that any new file gets beside `path`."""
    about = {file: file.lstat() for file in files}
    private = [file for file, its in about.items() if its.st_mode == stat.S_IFREG | 0o600 and its.st_nlink == 1]
    if not private:
        return
    probe = _temporary(path)
    with contextlib.suppress(OSError):  # file systems without permissions
        probe.touch(exist_ok=False)
        for file in private:
            file.chmod(stat.S_IMODE(probe.stat().st_mode))
    delete(probe)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _entered(path: Path, temporary: Path) -> contextlib.AbstractContextManager[None]:
    """The change of the manifest for what is about to be renamed to `path`; nothing if `path` is in no run directory."""
    manifest = None if is_temporary(path) else manifest_of(path)
    return contextlib.nullcontext() if manifest is None else manifest.change(path, files_of(temporary))


def is_temporary(path: Path) -> bool:
    """Whether it is part of a directory that will be renamed as a whole."""
    return any(part.startswith(".") and part.endswith(".tmp") for part in path.parts)


def put(temporary: Path, path: Path) -> None:
    """Rename; an old directory makes room first, since a directory cannot replace another."""
    if not (temporary.is_dir() and path.is_dir()):
        os.replace(temporary, path)
        return
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}-old.tmp")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old)


def remove(path: Path) -> None:
    """Delete a file or directory of a run directory, and its entry in the manifest."""
    manifest = manifest_of(path)
    if not os.path.lexists(path):
        return
    with contextlib.nullcontext() if manifest is None else manifest.change(path, {}):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def remove_leftovers(path: Path) -> None:
    """Delete what killed processes left of `path` half-written."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        if not is_being_written(temporary):
            delete(temporary)


def is_being_written(temporary: Path) -> bool:
    """Whether the process that a temporary name tells is running, and did so before the file was written to."""
    import psutil

    writer = re.search(r"\.(\d+)-[0-9a-f]{8}\.tmp$", temporary.name)
    try:
        return writer is not None and psutil.Process(int(writer[1])).create_time() <= temporary.stat().st_mtime
    except (psutil.Error, OverflowError, OSError):
        return False


def delete(path: Path) -> None:
    """Delete a file, link or directory if it is there, whatever the manifest says."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


_LOST = "its network file system does not answer; when it is there again, run the same command again"


def disk_error(path: Path, error: OSError) -> Exception:
    """A DiskError with a way out if the disk refused the write; any other error unchanged."""
    reasons = {
        errno.ENOSPC: "no space left on the disk; free some or move the run directory, then run the same command again",
        errno.EFBIG: "files cannot be that large here (ulimit -f, or the file system); raise the limit, then run the same command again",
        errno.EDQUOT: "your quota of the disk is used up; free some or move the run directory, then run the same command again",
        errno.EIO: "the disk reports an error; look at it, or choose a run directory on another one",
        errno.EROFS: "the disk is read-only; choose a run directory on another one",
        errno.EACCES: "no permission to write there; change it or choose another run directory",
        errno.EPERM: "no permission to write there; change it or choose another run directory",
        errno.ESTALE: _LOST,
        errno.ENOTCONN: _LOST,
        errno.ETIMEDOUT: _LOST,
        errno.EHOSTDOWN: _LOST,
        errno.ENOTDIR: "a file is in the place of a directory; choose another run directory",
    }
    reason = reasons.get(error.errno or 0)
    return DiskError(f"cannot write {path}: {reason}") if reason else error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
