"""The time of a stage whose command was killed is in run.json when another command goes on with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from learnalign.rundir import RunDir
from learnalign.rundir.spent import NAME
from tests.tiny import make_run

KILLED = """
import os, signal, sys, time
from pathlib import Path
from learnalign.rundir import RunDir, spent
spent.EVERY = 0.02
run = RunDir.open(Path(sys.argv[1]))
with run.stage("grad"):
    started = time.process_time()
    while time.process_time() < started + 0.5:
        pass
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def entry(run: RunDir) -> dict[str, float]:
    return run.read_record()["stages"]["grad"]  # type: ignore[no-any-return]


def killed(run: RunDir) -> dict[str, float]:
    """What a command that was killed in its stage left."""
    assert subprocess.run([sys.executable, "-c", KILLED, str(run.path)]).returncode == -9
    return json.loads((run.path / NAME).read_text())  # type: ignore[no-any-return]


def test_a_killed_command_loses_no_time_and_none_counts_twice(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    left = killed(run)
    assert left["seconds"] >= 0.5
    assert left["cpu_seconds"] >= 0.5
    assert entry(run)["seconds"] == 0
    (run.path / NAME).write_text(json.dumps({**left, "seconds": 10_000.0, "cpu_seconds": 5_000.0}))
    again = killed(run)  # goes on from there
    assert again["seconds"] >= 10_000.5
    for _ in range(2):
        with run.stage("grad"):
            pass
        assert 10_000 < entry(run)["seconds"] < 20_000
        assert 5_000 < entry(run)["cpu_seconds"] < 10_000
        assert not (run.path / NAME).exists()


def test_time_of_other_work_is_not_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    left = killed(run) | {"seconds": 10_000.0}
    others = [{**left, "started": "2020-01-01T00:00:00+00:00"}, {**left, "fingerprint": "x"}, {"seconds": "x"}, []]
    for text in [*map(json.dumps, others), "", "{"]:
        (run.path / NAME).write_text(text)
        with run.stage("grad"):
            pass
        assert entry(run)["seconds"] < 10_000
