"""configs/slurm/submit.sh, with an `sbatch` that runs the jobs at once as plain processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnalign.config import dump_config
from learnalign.rundir import RunDir
from tests.executor.test_slices import SHAPE
from tests.tiny import make_config

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "configs" / "slurm" / "submit.sh"
SBATCH = f"""#!{sys.executable}
import os, subprocess, sys
options, command = sys.argv[1:-2], sys.argv[-1]
assert "--parsable" in options and sys.argv[-2] == "--wrap"
array = next((o.partition("=")[2] for o in options if o.startswith("--array=")), "")
ids = range(1, int(array.partition("-")[2]) + 1) if array else [0]
jobs = [subprocess.Popen(["bash", "-c", command], stdout=sys.stderr, env={{**os.environ, "SLURM_ARRAY_TASK_ID": str(i)}}) for i in ids]
codes = [job.wait() for job in jobs]
with open(os.environ["JOBS"], "a") as file:
    print(*(o for o in options if o.startswith(("--dependency", "--array", "--partition"))), codes, file=file)
print(len(open(os.environ["JOBS"]).readlines()))
"""


def submit(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    texts = {"sbatch": SBATCH, "learnalign": f'#!/usr/bin/env bash\nexec {sys.executable} -m learnalign_cli "$@"\n'}
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "JOBS": str(tmp_path / "jobs")}
    environment["PYTHONPATH"] = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    command = ["bash", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_two_slices_of_a_run_end_in_a_subset(tmp_path: Path) -> None:
    config = make_config(tmp_path, verifier="tests.rollouts.judges:by_first_letter", select={"size": 3}, **SHAPE)
    directory = tmp_path / "a run"
    (tmp_path / "config.yaml").write_text(dump_config(config, directory))
    result = submit(tmp_path, directory, tmp_path / "config.yaml", 2, "--partition=gpu")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "jobs").read_text().splitlines() == [
        "--partition=gpu [0]",
        "--dependency=afterok:1 --partition=gpu --array=1-2 [0, 0]",
        "--dependency=afterok:2 --partition=gpu --array=1-2 [0, 0]",
        "--dependency=afterok:3 --partition=gpu [0]",
    ]
    run = RunDir.open(directory, trust=True)
    assert all(run.is_finished(stage) for stage in ("pool", "rollout", "grad", "select"))
    assert (directory / "subset.jsonl").read_text().count("\n") == 3
    assert "of 6 shards of the stage are stored" in result.stderr


def test_without_arguments_it_says_what_it_needs(tmp_path: Path) -> None:
    result = submit(tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: bash" in result.stderr
