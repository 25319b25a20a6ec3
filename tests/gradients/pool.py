"""Run directories with rollouts written by hand, so that stages after sampling can be tested without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from learnalign.prompts import load_prompts
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from tests.tiny import make_run, random_ids

REWARDS = [[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, None], [0.0] * 4, [None] * 4]


def run_with_rollouts(
    folder: Path,
    rewards: Sequence[Sequence[float | None]] = REWARDS,
    count: int = 12,
    kind: str = "llama",
    **sections: Any,
) -> RunDir:
    """A run of `count` prompts whose rollouts have random tokens and, in turn, the groups of `rewards`."""
    run = make_run(folder, count, kind, **sections)
    write_rollouts(run, rewards)
    return run


def write_rollouts(run: RunDir, rewards: Sequence[Sequence[float | None]] = REWARDS) -> None:
    """Write part files and success.parquet and record the stage as done."""
    prompts = load_prompts(run)
    rng = np.random.default_rng(0)
    with run.stage("rollout"):
        fingerprint, success = run.fingerprint("rollout"), []
        for shard in run.shards():
            rows = []
            for number in range(shard.start, shard.stop):
                group = rewards[number % len(rewards)]
                prompt_ids = random_ids(rng, int(rng.integers(4, 20)))
                for sample, reward in enumerate(group):
                    completion_ids = random_ids(rng, int(rng.integers(2, 12)))
                    rows.append(_row(prompts[number].id, sample, prompt_ids, completion_ids, reward))
                scored = [reward for reward in group if reward is not None]
                success.append(success_of(prompts[number].id, len(group), len(scored), int(sum(scored))))
            write_parquet(run.rollouts_file(shard), pa.Table.from_pylist(rows, schema=ROLLOUTS), fingerprint)
        write_success(run, success)


ROLLOUTS = pa.schema(
    [
        ("id", pa.string()),
        ("sample", pa.int32()),
        ("prompt_ids", pa.list_(pa.int32())),
        ("completion_ids", pa.list_(pa.int32())),
        ("text", pa.string()),
        ("reward", pa.float64()),
        ("finish_reason", pa.string()),
    ]
)


def _row(
    id: str, sample: int, prompt_ids: list[int], completion_ids: list[int], reward: float | None
) -> dict[str, Any]:
    ids = {"prompt_ids": prompt_ids, "completion_ids": completion_ids}
    return {"id": id, "sample": sample, **ids, "text": "", "reward": reward, "finish_reason": "stop"}
