"""Processes that a test has started."""

from __future__ import annotations

import contextlib

import psutil


def children(of: str = "", *, recursive: bool = False) -> set[psutil.Process]:
    """This process's running children whose command line contains `of`: it has others, such as multiprocessing's."""
    found = set()
    for child in psutil.Process().children(recursive):
        with contextlib.suppress(psutil.Error):  # has ended since
            if child.status() != psutil.STATUS_ZOMBIE and of in " ".join(child.cmdline()):
                found.add(child)
    return found
