"""Runs warmup on a run directory in a process of its own, so that a test can kill it: `python -m tests.training.warmup_process
DIR`.
"""

import sys

from learnalign import RunDir, warmup

if __name__ == "__main__":
    warmup(RunDir.open(sys.argv[1]))
