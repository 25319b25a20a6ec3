"""The lease by which one command at a time drives a remote run directory.

An object that its holder renews while it works. A lease that was not renewed for `STALE` seconds, or whose holder worked in
the local copy that this process has locked, is taken over. Object stores differ in what they can do at once: where a store
writes an object only if there is none (S3, Google, local disks), two commands cannot both begin; a stale lease is replaced
without such help, so that two commands that take it over in the same second may both go on until the next one's check.
Clocks of the machines must agree within minutes.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from learnalign.errors import RunError
from learnalign.rundir.remote.store import Store

PLACE = ".learnalign/lease.json"
STALE = 600.0  # seconds without renewal after which the holder counts as dead


class LeaseLost(RunError):
    """Another command has taken the remote run directory over."""


class Lease:
    """Held while the block runs; raises RunError if another command holds it. `copy` names this process's local copy."""

    def __init__(self, store: Store, copy: str) -> None:
        self._store = store
        self._own = {
            "token": secrets.token_hex(8),
            "copy": copy,
            "who": _user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": _time(time.time()),
        }

    def __enter__(self) -> Self:
        if not self._store.write_new(PLACE, self._content()):
            holder = self._store.read_json(PLACE) or {}
            if not self._is_over(holder):
                raise RunError(
                    f"{self._store.url} is in use by {_shown(holder)}; wait for it to end. If it is dead, its lease ends {STALE / 60:g} "
                    f"minutes after its last sign of life ({holder.get('renewed')}); to end it now, delete {self._store.url}/{PLACE}"
                )
            self._store.write(PLACE, self._content())
        self.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(RunError):  # then it ends by itself
            self.check()
            self._store.delete(PLACE)

    def check(self) -> None:
        """Raise LeaseLost unless this process holds the lease."""
        holder = self._store.read_json(PLACE)
        if holder is None or holder.get("token") != self._own["token"]:
            by = f"taken over by {_shown(holder)}" if holder else "taken away (its lease was deleted)"
            raise LeaseLost(f"{self._store.url} was {by} while this command worked; nothing more is uploaded")

    def renew(self) -> None:
        """Say that this process is alive; raises LeaseLost if another one has the lease."""
        self.check()
        self._store.write(PLACE, self._content())

    def _content(self) -> bytes:
        return json.dumps({**self._own, "renewed": _time(time.time())}, indent=2).encode()

    def _is_over(self, holder: dict[str, Any]) -> bool:
        if holder.get("copy") == self._own["copy"]:
            return True  # who worked in this local copy had its lock, which is ours now
        try:
            renewed = datetime.fromisoformat(holder["renewed"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return not holder  # deleted meanwhile
        return time.time() - renewed > STALE


def _shown(holder: dict[str, Any]) -> str:
    return f"{holder.get('who')} on {holder.get('host')} (process {holder.get('pid')}, since {holder.get('since')})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
