"""A run that is killed again and again keeps every finished shard and ends with one group per prompt."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from learnalign.prompts import load_prompts
from learnalign.rollouts import load_rollouts, rollout
from learnalign.rundir import RunDir
from learnalign.rundir.files import is_done
from tests.rollouts import kill_target
from tests.tiny import make_run

SHAPE: dict[str, Any] = {
    "rollout": {"engine": "transformers", "num_generations": 4, "max_completion_length": 48},
    "executor": {"shard_size": 2},
}


def stored_ids(run: RunDir) -> set[str]:
    """Prompts of the shards that are done, judged by the files alone."""
    done = [shard for shard in run.shards() if is_done(run.rollouts_file(shard), run.fingerprint("rollout"))]
    return {rollout.id for shard in done for rollout in load_rollouts(run, shard)}


def wait_for(process: BaseProcess, file: Path, lines: int) -> None:
    """Wait until `file` has that many lines or the process has ended."""
    deadline = time.monotonic() + 120
    while process.is_alive() and file.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, "the run never starts to sample"
        time.sleep(0.01)


@pytest.mark.slow
def test_ten_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=40, **SHAPE)
    pool = [prompt.id for prompt in load_prompts(run)]
    notes = tmp_path / "notes"
    notes.touch()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([kill_target.__name__])
    moments = random.Random(0)
    kills, grown = 0, 0
    while kills < 10:
        before, read = stored_ids(run), notes.read_text().count("\n")
        process = context.Process(target=kill_target.work, args=(run.path, notes))
        process.start()
        wait_for(process, notes, read + moments.choice([0, 1, 3, 5]))
        process.join(moments.uniform(0.0, 0.3))
        assert not process.exitcode
        if process.exitcode == 0:  # it finished: start again
            for shard in run.shards():
                run.rollouts_file(shard).unlink()
            continue
        process.kill()
        process.join()
        kills += 1
        sampled = set(notes.read_text().split("\n")[read:-1])
        assert not sampled & before, "a stored group was sampled again"
        assert len(sampled - stored_ids(run)) <= 2, "more than one shard's work was lost"
        grown += len(stored_ids(run)) > len(before)
    assert grown >= 3, "the kills came too early to test anything"
    rollout(run, anyway=True)
    rows = [(one.id, one.sample) for shard in run.shards() for one in load_rollouts(run, shard)]
    assert rows == [(id, sample) for id in pool for sample in range(4)]
    assert pq.read_table(run.success_file)["id"].to_pylist() == pool
    undisturbed = make_run(tmp_path / "undisturbed", count=40, **SHAPE)
    rollout(undisturbed, anyway=True)
    for mine, other in zip(run.shards(), undisturbed.shards(), strict=True):
        assert load_rollouts(run, mine) == load_rollouts(undisturbed, other)
