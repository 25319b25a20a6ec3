"""A directory of a remote file system: whole objects are put, read and deleted; what fails is tried again, then told in one line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from learnalign.errors import InputError, RunError, one_line

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}  # the extra of this package that a scheme needs
_UNFINISHED = re.compile(r"\.([0-9a-f]{8})\.tmp$")
WAITS = (1.0, 3.0, 9.0)  # seconds before each further attempt
T = TypeVar("T")


class RemoteError(RunError):
    """The remote file system refused or could not be reached."""


class NoPermission(RemoteError):
    """The remote file system knows the user and refuses, or does not know the user."""


class Store:
    """The objects below a URL, by their paths relative to it; other commands may change them at the same time."""

    def __init__(self, url: str) -> None:
        check_url(url)
        self.url = url.rstrip("/")
        self._files, self._root = _opened(self.url)
        self._token = secrets.token_hex(4)
        self._here = "file" in _protocols(
            self._files
        )  # puts are no renames there; on object stores each is whole or not at all

    def read(self, path: str) -> bytes | None:
        """The content of an object; None if there is none."""
        with contextlib.suppress(FileNotFoundError):
            return bytes(self._try("read", path, lambda: self._files.cat_file(self._at(path))))
        return None

    def read_json(self, path: str) -> dict[str, Any] | None:
        """The value of a JSON object; None if there is none. Raises RemoteError if it is damaged."""
        content = self.read(path)
        if content is None:
            return None
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise RemoteError(
                f"{self.url}/{path} is damaged ({len(content)} bytes, no JSON); put it back, or delete it"
            )
        return value

    def write(self, path: str, content: bytes) -> None:
        """Write a small object."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object"
            file.write_bytes(content)
            self.put(file, path)

    def write_new(self, path: str, content: bytes) -> bool:
        """Write an object unless there is one: not at the same time as another writer where the store can tell that."""
        try:
            self._try("write", path, lambda: self._files.pipe_file(self._at(path), content, mode="create"))
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise self._no_bucket(path, error) from None
        return True

    def put(self, file: Path, path: str) -> None:
        """Upload a file."""

        def put() -> None:
            place = self._at(path)
            temporary = f"{place}.{self._token}.tmp" if self._here else place
            self._files.put_file(str(file), temporary)
            if self._here:
                os.replace(temporary, place)

        try:
            self._try("write", path, put)
        except FileNotFoundError as error:
            if not file.is_file():
                raise
            raise self._no_bucket(path, error) from None

    def get(self, path: str, file: Path) -> bool:
        """Download an object to `file`; False if there is none."""
        try:
            self._try("read", path, lambda: self._files.get_file(self._at(path), str(file)))
        except FileNotFoundError:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store; raises FileNotFoundError if there is none."""
        self._try("write", target, lambda: self._files.cp_file(self._at(source), self._at(target)))

    def delete(self, path: str) -> None:
        """Delete an object if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._try("delete", path, lambda: self._files.rm_file(self._at(path)))

    def sweep(self, paths: Iterable[str]) -> None:
        """Delete those that are parts of uploads of commands that were killed; only who has the lease may."""
        for path in paths:
            if self._here and (unfinished := _UNFINISHED.search(path)) and unfinished[1] != self._token:
                self.delete(path)

    def sizes(self) -> dict[str, int]:
        """The size in bytes of every object by its path; raises RemoteError if there is no such bucket."""

        def find() -> dict[str, int]:
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
            start = len(self._root.rstrip("/")) + 1
            return {path[start:]: int(about["size"]) for path, about in found.items()}

        try:
            return self._try("list", "", find)
        except FileNotFoundError:
            return {}

    def _no_bucket(self, path: str, error: FileNotFoundError) -> RemoteError:
        return RemoteError(
            f"cannot write {self.url}/{path}: no such bucket or folder ({_said(error)}); make it, or choose another"
        )

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _try(self, verb: str, path: str, action: Callable[[], T]) -> T:
        """The action's result, tried again when the network or the store fails."""
        place = f"{self.url}/{path}".rstrip("/")
        for wait in (*WAITS, None):
            try:
                return action()
            except (FileNotFoundError, FileExistsError):
                raise
            except Exception as error:
                if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
                    raise NoPermission(
                        f"cannot {verb} {place}: no permission ({_said(error)}); give the store's credentials as its own tools "
                        "take them (environment, profile, service account)"
                    ) from error
                if wait is None:
                    raise RemoteError(f"cannot {verb} {place}: {_said(error)}; tried {len(WAITS) + 1} times") from error
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def check_url(url: str) -> None:
    """Raise InputError for a URL with credentials in it, or of no directory."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"DIR is no URL: {one_line(error, 100)}") from None
    if "@" in parts.netloc:
        raise InputError(
            f"DIR {parts.scheme}://…@{parts.netloc.rpartition('@')[2]}: credentials do not belong in a URL, which is stored and "
            "shown; give them as the store's own tools take them (environment, profile, service account)"
        )
    if {".", ".."} & set(url.split("/")):
        raise InputError(f"DIR {url}: leave out the dots, which lead elsewhere")
    if not (parts.netloc + parts.path).strip("/"):
        raise InputError(f"DIR {url}: name the bucket and a directory in it, such as {parts.scheme}://bucket/run")
    if parts.scheme.lower() in (*EXTRAS, "abfs", "abfss", "az") and not parts.path.strip("/"):
        raise InputError(f"DIR {url}: name a directory in the bucket, such as {url.rstrip('/')}/run")


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    scheme = url.partition("://")[0].lower()
    options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
    try:
        files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        ways = f"pip install 'learnalign[{EXTRAS[scheme]}]'" if scheme in EXTRAS else _said(error)
        raise InputError(f"DIR {url}: {scheme}:// needs a package that is not installed; {ways}") from None
    except Exception as error:  # an unknown scheme, or one that wants more than a URL: dir://, zip://
        raise InputError(
            f"DIR {url}: fsspec cannot open {scheme}:// ({_said(error)}); known are s3://, gs://, file:// and what fsspec has beside them "
            "that needs no other options"
        ) from None
    return files, root


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _said(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else error, 200)
