"""The memory that a sandbox takes, seen from outside: of its processes, and of the files that lie in memory."""

from __future__ import annotations

import contextlib
import os

import psutil

WRITABLE = {"/tmp": 64 * 2**20, "/dev/shm": 16 * 2**20}  # where a program may write, and how many bytes
_FILE = 1536  # bytes that the kernel keeps for a file there, whatever it holds


def takes_more(pid: int, most: int) -> bool:
    """Whether what a sandbox's first process started takes more than `most` bytes."""
    try:
        processes = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return False
    files = max(map(_files, processes), default=0)
    if files + sum(map(_resident, processes)) <= most:
        return False
    return files + sum(map(_proportional, processes)) > most


def _files(process: psutil.Process) -> int:
    """Bytes that the files take, as one process sees them."""
    taken = 0
    for place, size in WRITABLE.items():
        with contextlib.suppress(OSError):  # it has ended
            found = os.statvfs(f"/proc/{process.pid}/root{place}")
            if found.f_blocks * found.f_frsize == size:  # else it is the host's, for a moment at the start
                blocks, files = found.f_blocks - found.f_bfree, found.f_files - found.f_ffree
                taken += blocks * found.f_frsize + files * _FILE
    return taken


def _resident(process: psutil.Process) -> int:
    """Bytes of a process; what several share counts for each of them."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    """Bytes of a process and its share of what several have, which takes longer to find out."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:
        return 0
