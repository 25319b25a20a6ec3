"""`learnalign.executor.process`, run as a module: a worker that the driver of this machine starts; it reads its job from standard input."""

import json
import os
import sys

from learnalign.executor.serving import serve
from learnalign.lifeline import watch


def main() -> None:
    """Serve the driver, and end with it."""
    address, key, number, job = json.loads(sys.stdin.buffer.readline())
    watch(sys.stdin.fileno(), lambda: os._exit(1))
    serve(tuple(address), bytes.fromhex(key), number, job)


if __name__ == "__main__":
    main()
