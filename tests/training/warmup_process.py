"""Warmup in a process that a test can kill: `python -m tests.training.warmup_process DIR`."""

import sys

from learnalign import RunDir, warmup

if __name__ == "__main__":
    warmup(RunDir.open(sys.argv[1]))
