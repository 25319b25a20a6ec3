"""Run directories with random success rates, features and signals, written as the earlier stages write them."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from learnalign.gradients.sums import sums_of
from learnalign.prompts import load_prompts
from learnalign.rollouts import success
from learnalign.rollouts.success import success_of
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet, write_safetensors
from learnalign.signals import find_signal, signal_fingerprint
from tests.tiny import make_run

GROUP = 8


def measured_run(
    folder: Path, correct: Sequence[int | None] | None = None, count: int = 24, dim: int = 16, **sections: Any
) -> RunDir:
    """A run of random features; `correct` of 8 rollouts are correct per prompt (None: not scored)."""
    template = _template(count, json.dumps(sections))
    shutil.copytree(template.path, folder / "run")
    run = RunDir(folder / "run", template.config)
    rng = np.random.default_rng(0)
    if correct is None:
        correct = [int(number) for number in rng.integers(0, GROUP + 1, count)]
    write_success(run, correct)
    write_gradients(run, correct, rng.standard_normal((count, dim)) + 0.5)
    return run


@functools.cache
def _template(count: int, sections: str) -> RunDir:
    """A run with its pool prepared: made once and copied by each test."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    run = make_run(folder, count, **json.loads(sections))
    load_prompts(run)
    return run


def write_success(run: RunDir, correct: Sequence[int | None]) -> None:
    """success.parquet for the pool in its order."""
    prompts = load_prompts(run)
    success.write_success(
        run, [success_of(p.id, GROUP, 0 if c is None else GROUP, c or 0) for p, c in zip(prompts, correct, strict=True)]
    )


def write_gradients(
    run: RunDir, correct: Sequence[int | None], gradients: np.ndarray, sums: Callable[..., Any] = sums_of
) -> None:
    """Unit features and norms of the prompts with V > 0, and what `sums` gives."""
    ids = [prompt.id for prompt in load_prompts(run)]
    for shard in run.shards():
        places = [i for i in range(shard.start, shard.stop) if correct[i] not in (None, 0, GROUP)]
        rows = torch.from_numpy(gradients[places])
        norms = rows.norm(dim=1)
        tensors = {"features": (rows / norms[:, None]).float(), "norms": norms.float()}
        tensors |= sums(tensors["features"], [success_of(ids[i], GROUP, GROUP, correct[i] or 0) for i in places])
        metadata = {"ids": json.dumps([ids[i] for i in places])}
        write_safetensors(run.gradients_file(shard), tensors, metadata, run.fingerprint("grad"))


def write_signal(run: RunDir, name: str, columns: Mapping[str, Any]) -> None:
    """signals/NAME.parquet for the pool in its order."""
    ids = [prompt.id for prompt in load_prompts(run)]
    write_parquet(run.signal_file(name), pa.table({"id": ids, **columns}), signal_fingerprint(run, find_signal(name)))


def sources(run: RunDir) -> list[str]:
    """The pool's input rows, verbatim."""
    return Path(run.config.data.path).read_text(encoding="utf-8").splitlines()
