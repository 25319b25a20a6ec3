"""The sandbox's first process: gives up what rights it has, then serves as the runner or the checker."""

from __future__ import annotations

import os
import sys

from . import runner, wire


def main(role: str, user: int) -> None:
    """Serve on standard input and output; `user` is the id to become, 0 to stay."""
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    read, write = os.dup(0), os.dup(1)  # 0 and 1 are the programs'
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    lines = iter(os.fdopen(read, "rb", closefd=False))
    stream = os.fdopen(write, "wb", buffering=0, closefd=False)
    stream.write(wire.dumps({"ready": True}))
    if role == "checker":
        from . import checker

        checker.serve(lines, stream.write, (read, write))
    else:
        runner.serve(lines, stream.write)
    os._exit(0)


def started() -> None:
    """Read the arguments: the role and the user id."""
    main(sys.argv[1], int(sys.argv[2]))
