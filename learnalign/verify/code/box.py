"""One process in a sandbox of bubblewrap: own namespaces, user and limits, no network, a read-only root, a small /tmp.

It sees /usr, Python's library and some packages, and nothing of the home, of /etc and of other processes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learnalign.verify.code.memory import WRITABLE, takes_more
from learnalign.verify.code.sandbox import SandboxFailed
from learnalign.verify.code.system_calls import filter_program

PROGRAM = "bwrap"
PACKAGES_PATH = "/packages"
# What a program may import beside the standard library, if it is installed here.
_PACKAGES = ("numpy", "numpy.libs", "scipy", "scipy.libs", "sympy", "mpmath", "networkx", "sortedcontainers")
_TICK = 0.2  # seconds between looks at the memory
_LONGEST_LINE = 64 * 2**20  # bytes
# Users of no account: systemd leaves these numbers unused. Each sandbox has another, so that the kernel counts its
# processes apart; those of two commands begin at different ones.
_FIRST_USER, _USERS = 60_600, 500
_started = itertools.count()

_BOOT = "import sys; sys.path.insert(0, '/sandbox'); from inside import main; main.started()"


class BoxEnded(Exception):
    """The process is over: it died, took too long or too much memory, as the text says."""


class Box:
    """A process in a sandbox.

    Args:
        role: runner or checker.
        as_root: drop root's rights inside, without a user namespace.
        memory: bytes that all its processes may take; may be changed while it runs.
        cpu: the one that its processes share, so that they take no other from anybody; None: any.
    """

    def __init__(self, role: str, as_root: bool, memory: int, cpu: int | None = None) -> None:
        self.memory, self._unread, self._looked = memory, b"", time.monotonic()
        user = _FIRST_USER + (97 * os.getpid() + next(_started)) % _USERS if os.geteuid() == 0 else None
        filter_file = _filter_file()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        try:
            with _on(cpu):
                self._process = subprocess.Popen(
                    [
                        *_command(as_root, filter_file),
                        _python(),
                        "-I",
                        "-S",
                        "-c",
                        _BOOT,
                        role,
                        str(user if as_root else 0),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    bufsize=0,
                    pass_fds=[filter_file],
                    start_new_session=True,  # Ctrl-C reaches only the parent
                    **({} if as_root else _as_user(user)),
                    env={
                        "PATH": "/usr/bin:/bin",
                        "HOME": "/tmp",
                        "LANG": "C.UTF-8",
                        "PYTHONHASHSEED": "0",
                        "OMP_NUM_THREADS": "1",
                    },
                )
        except OSError as error:
            raise SandboxFailed(f"the sandbox cannot start: {error}") from None
        finally:
            os.close(filter_file)
        pipes = [self._process.stdin, self._process.stdout]
        self._in, self._out = (pipe.fileno() for pipe in pipes if pipe)
        os.set_blocking(self._in, False)

    def send(self, message: dict[str, Any] | bytes, deadline: float) -> None:
        """Send a line; raises BoxEnded if it is not taken by `deadline` (of `time.monotonic`)."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        view = memoryview(data)
        while view:
            if not self._wait(self._in, select.POLLOUT, deadline):
                continue
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                continue
            except OSError:
                raise BoxEnded("died") from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """Return the next line as JSON; raises BoxEnded."""
        try:
            message = json.loads(self.line(deadline))
        except (ValueError, RecursionError):
            raise BoxEnded("sent no message") from None
        if not isinstance(message, dict):
            raise BoxEnded("sent no message")
        return message

    def line(self, deadline: float) -> bytes:
        """Return the next line with its end; raises BoxEnded."""
        parts = [self._unread]
        size = len(self._unread)
        while b"\n" not in parts[-1]:
            if not self._wait(self._out, select.POLLIN, deadline):
                continue
            part = os.read(self._out, 2**20)
            size += len(part)
            if not part:
                raise BoxEnded("died")
            if size > _LONGEST_LINE:
                raise BoxEnded("output")
            parts.append(part)
        line, end, self._unread = b"".join(parts).partition(b"\n")
        return line + end

    def error(self) -> str:
        """What the sandbox printed, its last line."""
        self._errors.seek(0)
        return (self._errors.read(20_000).decode("utf-8", "replace").strip().splitlines() or [""])[-1]

    def close(self) -> None:
        """Kill every process in the sandbox, and forget it."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def kill(self) -> None:
        """Kill every process in the sandbox: with its first, the kernel ends them all. Works in any thread.

        The group, because bubblewrap's second process waits for ever if the first is killed before it has called it.
        """
        if self._process.returncode is None:  # it is not reaped, so its number is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _wait(self, descriptor: int, event: int, deadline: float) -> bool:
        """Wait for a tick at most; raises BoxEnded at the deadline or if the processes take too much memory."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise BoxEnded("time")
        poll = select.poll()
        poll.register(descriptor, event)
        ready = bool(poll.poll(1000 * min(left, _TICK)))
        if time.monotonic() - self._looked >= _TICK:  # also at one that has something to say all the time
            if takes_more(self._process.pid, self.memory):
                raise BoxEnded("memory")
            self._looked = time.monotonic()
        return ready


@contextlib.contextmanager
def _on(cpu: int | None) -> Iterator[None]:
    """Have what this thread starts run on one CPU."""
    own = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # it has been taken away
        os.sched_setaffinity(0, own if cpu is None else {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _as_user(user: int | None) -> dict[str, Any]:
    """Popen's options to start as `user`: in a user namespace of root's, no limit of processes would bind."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _command(as_root: bool, filter_file: int) -> list[str]:
    """The command of bubblewrap up to the program's."""
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if as_root else []
    user = [] if as_root else ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
    return [
        shutil.which(PROGRAM) or PROGRAM,
        *("--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox", *user, "--cap-drop", "ALL", *rights),
        *_writable("/tmp"),  # first: Python may lie in the host's
        *_library_mounts(),
        *(
            "--perms",
            "0755",
            "--dir",
            "/sandbox",
            "--ro-bind",
            str(Path(__file__).parent / "inside"),
            "/sandbox/inside",
        ),
        *_package_mounts(),
        *("--dev", "/dev", *_writable("/dev/shm"), "--remount-ro", "/dev"),
        *("--remount-ro", "/", "--chdir", "/tmp", "--seccomp", str(filter_file)),
    ]


def _writable(place: str) -> list[str]:
    return ["--perms", "1777", "--size", str(WRITABLE[place]), "--tmpfs", place]


def _library_mounts() -> list[str]:
    mounts = ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            mounts += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            mounts += ["--ro-bind", name, name]
    prefix = Path(sys.base_prefix).resolve()
    if prefix.is_relative_to("/usr"):
        return mounts
    for parent in reversed(prefix.parents[:-1]):
        mounts += ["--perms", "0755", "--dir", str(parent)]  # else as closed as a home is
    return [*mounts, "--ro-bind", str(prefix), str(prefix)]


def _package_mounts() -> list[str]:
    places = [
        Path(sysconfig.get_path("platlib")),
        Path(sysconfig.get_path("purelib")),
        *map(Path, site.getsitepackages()),
    ]
    mounts = ["--perms", "0755", "--dir", PACKAGES_PATH]
    for name in _PACKAGES:
        found = next((place / name for place in places if (place / name).is_dir()), None)
        if found:
            mounts += ["--ro-bind", str(found), f"{PACKAGES_PATH}/{name}"]
    return mounts


def _python() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def _filter_file() -> int:
    """A descriptor of a file with the filter of system calls."""
    descriptor = os.memfd_create("filter")
    os.write(descriptor, filter_program())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def modes() -> list[bool]:
    """The ways to start a sandbox that may work: as root without a user namespace, or as a user in one."""
    return [True, False] if os.geteuid() == 0 else [False]


def installed() -> bool:
    """Whether bubblewrap is there."""
    return shutil.which(PROGRAM) is not None
