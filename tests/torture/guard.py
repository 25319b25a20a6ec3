"""The outer limit of the sandbox's torture: what escapes from the sandbox meets it, and this machine does not.

- Processes: a process namespace of its own with `pid_max` (root, Linux 6.14 and later); for a user, RLIMIT_NPROC.
- Files: RLIMIT_FSIZE. Memory, also of file systems in memory: all is killed if too little of the machine's is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import psutil

from learnalign.errors import RunError

INSIDE = "LEARNALIGN_TORTURE_GUARDED"
PROCESSES = 3_000
LARGEST_FILE = 2 * 2**30
MEMORY_LEFT = 0.15  # of the machine's
_END_WITH_PARENT = 1  # of prctl


def why_not() -> str | None:
    """Why there can be no outer limit here, None if there can."""
    if psutil.virtual_memory().available < 2 * MEMORY_LEFT * psutil.virtual_memory().total:
        return "too little free memory to torture the sandbox; end other programs first"
    if os.getuid() == 0:
        kernel = tuple(map(int, platform.release().split("-")[0].split(".")[:2]))
        if kernel < (6, 14):
            return (
                f"no limit of processes binds root on Linux {platform.release()} (6.14 has one); run it as another user"
            )
        if shutil.which("unshare") is None:
            return "there is no unshare (Debian: util-linux)"
    return None


def limits() -> str:
    """The outer limits in words."""
    way = "a process namespace" if os.getuid() == 0 else "RLIMIT_NPROC"
    return f"outer limits: {PROCESSES} processes ({way}), files of 2 GiB, {MEMORY_LEFT:.0%} of the memory stays free"


def guarded(module: str, arguments: Sequence[str]) -> int:
    """Run `python -m module arguments` behind the limits; the exit code, 137 if memory ran out.

    Raises RunError if there can be no such limits (`why_not`).
    """
    if reason := why_not():
        raise RunError(reason)
    # A shell is the first process of the namespace: the kernel spares the first one from signals that others get.
    command = [sys.executable, "-m", module, *arguments]
    if os.getuid() == 0:
        script = f'echo {PROCESSES} > /proc/sys/kernel/pid_max && "$@"; exit $?'
        command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", *command]
    process = subprocess.Popen(command, env={**os.environ, INSIDE: "1"}, preexec_fn=_limit)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(process, over), daemon=True)
    watch.start()
    code = process.wait()
    over.set()
    watch.join()
    return code if code >= 0 else 128 - code


def _limit() -> None:
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    if os.getuid() != 0:
        running = sum(
            1 for each in psutil.process_iter(["uids"]) if each.info["uids"] and each.info["uids"].real == os.getuid()
        )
        resource.setrlimit(resource.RLIMIT_NPROC, (running + PROCESSES,) * 2)


def _watch(process: subprocess.Popen[bytes], over: threading.Event) -> None:
    least = MEMORY_LEFT * psutil.virtual_memory().total
    while not over.wait(0.1):
        if psutil.virtual_memory().available < least:
            print("the outer limit of memory is reached: all is killed", file=sys.stderr)
            with contextlib.suppress(psutil.Error):
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()  # the namespace's first process comes first, and takes all others along
            process.kill()
            return
