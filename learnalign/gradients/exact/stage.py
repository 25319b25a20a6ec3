"""Stage 2 without projection: both passes of alignment.py over the pool, each kept on disk as it proceeds.

U is a sum over all prompts, so pass 1 writes one file with U and the shards it includes, every few minutes; pass 2 writes a
small file per shard. Both resume from these files, and exact.parquet replaces them at the end.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pyarrow as pa
import torch

from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.exact.alignment import Direction, accumulate, inner_products, zero_direction
from learnalign.gradients.inputs import ShardSamples, make_engine, windows
from learnalign.gradients.reference import refer, sample_reader
from learnalign.gradients.result import Account, GradResult, bad_gradients, check_bad, count_tokens
from learnalign.policy.kernels import choose_kernels
from learnalign.progress import Progress
from learnalign.rollouts.success import Success
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import is_done, read_parquet, read_safetensors, remove, write_parquet, write_safetensors

SAVE_SECONDS = 300.0  # between two saved states of pass 1


def exact_alignments(run: RunDir, success: Mapping[str, Success], expected: int) -> GradResult:
    """Write exact.parquet: id, norm, alignment of every prompt that has a gradient."""
    fingerprint = run.fingerprint("grad")
    if not is_done(run.exact_file, fingerprint):
        refer(run, run.shards())
        engine = make_engine(run)
        total = _RunningSum(run, engine, fingerprint)
        _first_pass(run, success, expected, engine, total)
        _second_pass(run, success, engine, total)
        _finish(run, total.account, fingerprint)
    remove(_folder(run))
    account = json.loads((read_parquet(run.exact_file).schema.metadata or {})[b"account"])
    account |= {name: Counter(account.get(name, {})) for name in ("skipped", "kernels")}
    return Account(**account).result()


class _RunningSum:
    """The running sum U, the norms of its gradients, and the shards already added."""

    def __init__(self, run: RunDir, engine: GradientEngine, fingerprint: str) -> None:
        self.file, self.fingerprint = _folder(run) / "pass-1.safetensors", fingerprint
        self.direction: Direction = zero_direction(engine)
        self.shards: set[int] = set()
        self.norms: dict[str, float] = {}
        self.account, self._kernels = Account(), choose_kernels(run.config.model.kernels)
        self._saved = time.monotonic()
        if is_done(self.file, fingerprint):
            self._read()

    def _read(self) -> None:
        tensors, metadata = read_safetensors(self.file)
        for name, tensor in self.direction.items():
            tensor.copy_(tensors[name])
        state = json.loads(metadata["state"])
        self.shards, self.norms = set(state["shards"]), state["norms"]
        self.account = Account(state["features"], state["tokens"])
        self.account.skipped.update(state["skipped"])
        self.account.bad |= state["bad"]
        self.account.kernels.update(state.get("kernels", {}))

    def record(self, shard: Shard, read: ShardSamples, norms: list[float]) -> None:
        """Record the norms and counts of a shard that is in U."""
        bad, account = bad_gradients(read.samples, norms), self.account
        good = {s.id: norm for s, norm in zip(read.samples, norms, strict=True) if s.id not in bad}
        self.norms |= good
        self.shards.add(shard.index)
        account.features += len(good)
        account.tokens += count_tokens(read.samples)
        account.skipped.update(read.skipped)
        account.bad |= bad
        account.kernels[self._kernels] += 1

    def save(self, at_once: bool = False) -> None:
        """Write the state, unless it was written less than SAVE_SECONDS ago."""
        if not at_once and time.monotonic() - self._saved < SAVE_SECONDS:
            return
        state = {"shards": sorted(self.shards), "norms": self.norms, **vars(self.account)}
        tensors = {name: tensor.cpu() for name, tensor in self.direction.items()}
        write_safetensors(self.file, tensors, {"state": json.dumps(state)}, self.fingerprint)
        self._saved = time.monotonic()


def _first_pass(
    run: RunDir,
    success: Mapping[str, Success],
    expected: int,
    engine: GradientEngine,
    total: _RunningSum,
) -> None:
    todo = [shard for shard in run.shards() if shard.index not in total.shards]
    count, read = run.count_prompts(), sample_reader(run, success)
    with Progress(count, "prompts", "exact gradients, pass 1 of 2", count - sum(map(len, todo))) as progress:
        for window in windows(todo, read, lambda: engine.budget.window):
            samples = [sample for _, found in window for sample in found.samples]
            weights = [success[sample.id].learnability / count for sample in samples]
            with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                norms = accumulate(engine, samples, weights, total.direction, advance)
            parts = norms.split([len(found.samples) for _, found in window])
            for (shard, found), own in zip(window, parts, strict=True):
                total.record(shard, found, own.tolist())
            check_bad(total.account.bad, expected, run.config.grad.max_bad)
            total.save(at_once=window[-1][0] is todo[-1])


def _second_pass(run: RunDir, success: Mapping[str, Success], engine: GradientEngine, total: _RunningSum) -> None:
    todo = [shard for shard in run.shards() if not is_done(_part(run, shard), total.fingerprint, shard.rows)]
    count, read = run.count_prompts(), sample_reader(run, success)
    with Progress(count, "prompts", "exact gradients, pass 2 of 2", count - sum(map(len, todo))) as progress:
        for window in windows(todo, read, lambda: engine.budget.window):
            good = [[sample for sample in found.samples if sample.id in total.norms] for _, found in window]
            with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                products = inner_products(engine, list(chain.from_iterable(good)), total.direction, advance).cpu()
            for (shard, _), samples, own in zip(window, good, products.split(list(map(len, good))), strict=True):
                norms = torch.tensor([total.norms[sample.id] for sample in samples], dtype=torch.float64)
                columns = {"id": [s.id for s in samples], "norm": norms.tolist(), "alignment": (own / norms).tolist()}
                write_parquet(_part(run, shard), pa.table(columns, schema=SCHEMA), total.fingerprint, shard.rows)


SCHEMA = pa.schema([("id", pa.string()), ("norm", pa.float64()), ("alignment", pa.float64())])


def _finish(run: RunDir, account: Account, fingerprint: str) -> None:
    table = pa.concat_tables([read_parquet(_part(run, shard)) for shard in run.shards()])
    metadata = {"account": json.dumps(vars(account))}
    write_parquet(run.exact_file, table.replace_schema_metadata(metadata), fingerprint)


def _folder(run: RunDir) -> Path:
    return run.exact_file.parent / "exact"


def _part(run: RunDir, shard: Shard) -> Path:
    return _folder(run) / f"part-{shard.index:05d}.parquet"
