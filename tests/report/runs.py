"""Run directories with made-up results, written as the stages write them: no model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from learnalign.config import load_config
from learnalign.prompts import Prompt
from learnalign.rollouts.groups import Rollout, write_rollouts
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_jsonl, write_parquet, write_safetensors

GROUP = 8
KINDS = ("sum", "product", "story")
NUMBERS = ("alignment", "norm", "signal", "kept")


def new_run(folder: Path, *overrides: str) -> RunDir:
    """A run of the demo's settings without warmup, in shards of 16."""
    return RunDir.create(folder, load_config("demo", ["warmup.size=0", "executor.shard_size=16", *overrides]))


def add_pool(run: RunDir, questions: Sequence[str], kinds: Sequence[str] = KINDS) -> list[Prompt]:
    """prompts.parquet; the kinds in turn."""
    prompts = [
        Prompt(
            id=f"{i:04x}-{len(question)}",
            row=i,
            messages=[{"role": "user", "content": question}],
            answer=str(i),
            solution=None,
            source=json.dumps(
                {"question": question, "answer": str(i), "kind": kinds[i % len(kinds)], "nested": {"n": i}}
            ),
        )
        for i, question in enumerate(questions)
    ]
    with run.stage("pool") as record:
        names = list(Prompt.__dataclass_fields__)
        text = {name: [_storable(getattr(prompt, name)) for prompt in prompts] for name in names}
        write_parquet(run.prompts_file, pa.table(text), run.fingerprint("pool"))
        record.counts |= {"rows": len(prompts), "prompts": len(prompts)}
    return prompts


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def add_rollouts(
    run: RunDir, prompts: Sequence[Prompt], correct: Sequence[int], text: Callable[[int, int], str] | None = None
) -> None:
    """Rollouts, the first `correct` of 8 right, every seventh wrong one cut off, and success.parquet."""
    text = text or (lambda i, k: f"completion {k} of prompt {i}")
    with run.stage("rollout") as record:
        for shard in run.shards():
            rollouts = []
            for i in range(shard.start, shard.stop):
                for k in range(GROUP):
                    right = k < correct[i]
                    finish = "length" if not right and (i + k) % 7 == 0 else "stop"
                    reason = "correct" if right else f"'{k}' is not '{i}'"
                    rollouts.append(
                        Rollout(prompts[i].id, k, [1, 2], [3] * (k + 1), text(i, k), float(right), finish, reason)
                    )
            write_rollouts(run, shard, rollouts)
        write_success(run, [success_of(p.id, GROUP, GROUP, int(c)) for p, c in zip(prompts, correct, strict=True)])
        record.counts["tokens"] = len(prompts) * 36


def add_gradients(
    run: RunDir, prompts: Sequence[Prompt], correct: Sequence[int], features: Callable[[list[int]], np.ndarray]
) -> None:
    """Unit rows of `features` for the prompts with V > 0."""
    with run.stage("grad"):
        for shard in run.shards():
            places = [i for i in range(shard.start, shard.stop) if 0 < correct[i] < GROUP]
            rows = torch.from_numpy(features(places)).float()
            norms = rows.norm(dim=1)
            tensors = {"features": rows / norms[:, None], "norms": norms}
            metadata = {"ids": json.dumps([prompts[i].id for i in places])}
            write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint("grad"), shard.rows)


def add_scores(
    run: RunDir, prompts: Sequence[Prompt], score: np.ndarray, size: int, method: str = "learnalign"
) -> np.ndarray:
    """scores/METHOD.parquet and the subset: the best `size`; returns whether each was chosen."""
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(prompts), np.int64)
    rank[order] = np.arange(1, len(prompts) + 1)
    chosen = rank <= size
    columns: dict[str, Any] = {
        "id": [prompt.id for prompt in prompts],
        "score": score,
        "rank": rank,
        "selected": chosen,
    }
    columns |= {"skipped": [None if value > 0 else "never solved" for value in score]}
    columns |= {name: pa.array(np.where(chosen, rank / len(prompts), np.nan), from_pandas=True) for name in NUMBERS}
    with run.stage("select") as record:
        write_parquet(run.scores_file(method), pa.table(columns), "made up")
        write_jsonl(run.subset_file(method), [{"id": prompts[i].id} for i in order[:size]])
        record.counts |= {"prompts": len(prompts), "chosen": size}
        earlier = run.read_record()["stages"]["select"].get("methods", {})
        entry = {
            "prompts": len(prompts),
            "eligible": size,
            "chosen": size,
            "size": size,
            "options": {"method": method, "size": size},
        }
        record.notes["methods"] = {**earlier, method: entry}
    return chosen


def whole_run(
    folder: Path, questions: Sequence[str], *overrides: str, size: int = 10, seed: int = 0, **more: Any
) -> RunDir:
    """A run of all stages with random success rates, features of 32 coordinates and scores."""
    rng = np.random.default_rng(seed)
    run = new_run(folder, *overrides)
    prompts = add_pool(run, questions)
    correct = rng.integers(0, GROUP + 1, len(questions))
    add_rollouts(run, prompts, correct, **more)
    features = rng.standard_normal((len(questions), 32)) + 0.3
    add_gradients(run, prompts, correct, lambda places: features[places])
    learnability = correct / GROUP * (1 - correct / GROUP)
    add_scores(run, prompts, learnability * rng.random(len(questions)), size)
    return run
