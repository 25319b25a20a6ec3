"""Stage 2 without projection: both passes of alignment.py over the pool, each kept on disk as it proceeds, by any number of processes.

U is a sum over all prompts. In pass 1 each process has a sum of its own, a file that it writes every few minutes with the shards that are
in it; a process that starts goes on with the sum of one that has ended. Pass 2 adds the sums up, and writes a small file per shard. Both
resume from these files, and exact.parquet replaces them at the end.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from learnalign.errors import RunError
from learnalign.executor import Work, Worker, execute
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.exact.alignment import Direction, accumulate, inner_products, zero_direction
from learnalign.gradients.inputs import ShardSamples, make_engine, windows
from learnalign.gradients.reference import refer, sample_reader
from learnalign.gradients.result import Account, GradResult, bad_gradients, check_bad, count_tokens
from learnalign.policy import settled
from learnalign.policy.kernels import choose_kernels
from learnalign.policy.memory import release_cached_memory
from learnalign.progress import Progress
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import (
    FINGERPRINT,
    is_done,
    peek_metadata,
    read_parquet,
    read_safetensors,
    remove,
    write_parquet,
    write_safetensors,
)
from learnalign.rundir.lock import Claims
from learnalign.rundir.stages import STAGES

SAVE_SECONDS = 300.0  # between two saved states of a sum
SCHEMA = pa.schema([("id", pa.string()), ("norm", pa.float64()), ("alignment", pa.float64())])
State = Mapping[str, Any]


def exact_alignments(run: RunDir, expected: int) -> GradResult:
    """Write exact.parquet: id, norm, alignment of every prompt that has a gradient.

    Raises Unfinished if other slices' shards are not stored yet, after pass 1 or after pass 2.
    """
    fingerprint = run.fingerprint("grad")

    def finished() -> bool:
        return is_done(run.exact_file, fingerprint)

    if not finished():
        settled(run)  # by this process, not by several workers
        refer(run, run.shards())
        _drop_damaged(run, fingerprint)
        first = Work(
            stage="grad",
            label="exact gradients, pass 1 of 2",
            make=_make_first_pass,
            done=lambda shard: shard.index in _summed(run, fingerprint) or finished(),
            options={"expected": expected},
            step="pass 1 of 2",
            then="once all slices have ended, run each again for pass 2",
        )
        execute(run, first)
        release_cached_memory()
        second = Work(
            stage="grad",
            label="exact gradients, pass 2 of 2",
            make=_make_second_pass,
            done=lambda shard: is_done(_part(run, shard), fingerprint, shard.rows) or finished(),
            step="pass 2 of 2",
        )
        execute(run, second)
    with run.alone():
        if not finished():
            _finish(run, fingerprint)
        remove(_folder(run))
    account = json.loads((read_parquet(run.exact_file).schema.metadata or {})[b"account"])
    account |= {name: Counter(account.get(name, {})) for name in ("skipped", "kernels")}
    return Account(**account).result()


def _sums(run: RunDir) -> list[Path]:
    """The files of sums; that of an earlier version has no number."""
    return sorted(_folder(run).glob("pass-1*.safetensors"))


def _sum_claims(run: RunDir) -> Claims:
    """Claims of the sums' numbers, beside those of the stages' shards."""
    return Claims(run.path, len(STAGES))


def _drop_damaged(run: RunDir, fingerprint: str) -> None:
    """Remove sums that no process has and that are damaged, of other settings, or of shards that are in another one.

    The last come from a worker that was taken for lost, and stored its sum all the same. Their shards are added anew.
    """
    seen = set[int]()
    with closing(_sum_claims(run)) as claims:
        for file in _sums(run):
            number = file.stem.removeprefix("pass-1").removeprefix("-")
            if number and not claims.take(int(number)):
                continue
            shards = set(_state_of(file)[1]["shards"]) if is_done(file, fingerprint) else None
            if shards is None or shards & seen:
                remove(file)
            else:
                seen |= shards


def _summed(run: RunDir, fingerprint: str) -> set[int]:
    """The shards that are in a stored sum."""
    return {shard for state in _states(run, fingerprint) for shard in state["shards"]}


def _states(run: RunDir, fingerprint: str) -> list[State]:
    """What each sum holds, by its header alone; the data are compared with what was written when they are added up."""
    try:
        states = [_state_of(file) for file in _sums(run)]
    except FileNotFoundError:  # another slice has just completed the stage
        return []
    return [state for own, state in states if own == fingerprint]


def _state_of(file: Path) -> tuple[str, State]:
    about = file.stat()
    return _read_state(file, (about.st_mtime_ns, about.st_ino, about.st_size))


@functools.lru_cache(maxsize=1024)
def _read_state(file: Path, version: tuple[int, int, int]) -> tuple[str, State]:
    metadata = peek_metadata(file)
    return metadata[FINGERPRINT], json.loads(metadata["state"])


class _RunningSum:
    """The sum U of one process, the norms of its gradients, and the shards already added."""

    def __init__(self, run: RunDir, engine: GradientEngine, number: int) -> None:
        self.file, self.fingerprint = _folder(run) / f"pass-1-{number:05d}.safetensors", run.fingerprint("grad")
        self.direction: Direction = zero_direction(engine)
        self.shards: set[int] = set()
        self.norms: dict[str, float] = {}
        self.account, self._kernels = Account(), choose_kernels(run.config.model.kernels)
        self._saved, self._stored = time.monotonic(), 0
        if is_done(self.file, self.fingerprint):
            self._read()

    def _read(self) -> None:
        state = _add_up(self.file, self.direction)
        self.shards, self.norms, self._stored = set(state["shards"]), state["norms"], len(state["shards"])
        _add_account(self.account, state)

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
        """Write the state if it is another than the stored one, unless that was written less than SAVE_SECONDS ago."""
        if len(self.shards) == self._stored or not (at_once or time.monotonic() - self._saved >= SAVE_SECONDS):
            return
        state = {"shards": sorted(self.shards), "norms": self.norms, **vars(self.account)}
        tensors = {name: tensor.cpu() for name, tensor in self.direction.items()}
        write_safetensors(self.file, tensors, {"state": json.dumps(state)}, self.fingerprint)
        self._saved, self._stored = time.monotonic(), len(self.shards)


def _add_up(file: Path, direction: Direction) -> State:
    """`direction` += the sum of a file; returns what it holds."""
    tensors, metadata = read_safetensors(file)
    for name, tensor in direction.items():
        tensor += tensors[name].to(tensor.device)
    return json.loads(metadata["state"])  # type: ignore[no-any-return]


def _add_account(account: Account, state: State) -> None:
    account.features += state["features"]
    account.tokens += state["tokens"]
    account.skipped.update(state["skipped"])
    account.bad |= state["bad"]
    account.kernels.update(state.get("kernels", {}))


def _make_first_pass(run: RunDir, expected: int) -> Worker:
    return _FirstPass(run, expected)


class _FirstPass:
    """The engine of one process, adding windows of shards to a sum."""

    def __init__(self, run: RunDir, expected: int) -> None:
        self._run, self._expected, self._success = run, expected, load_success(run)
        self._read, self._engine = sample_reader(run, self._success), make_engine(run)

    def __call__(self, shards: Iterator[Shard], progress: Progress) -> None:
        run, engine, count = self._run, self._engine, self._run.count_prompts()
        with closing(
            _sum_claims(run)
        ) as claims:  # to the end: the kernel frees all claims of a process with any of them
            total = _RunningSum(run, engine, next(number for number in itertools.count() if claims.take(number)))
            for window in windows(shards, self._read, lambda: engine.budget.window):
                samples = [sample for _, found in window for sample in found.samples]
                weights = [self._success[sample.id].learnability / count for sample in samples]
                with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                    norms = accumulate(engine, samples, weights, total.direction, advance)
                parts = norms.split([len(found.samples) for _, found in window])
                for (shard, found), own in zip(window, parts, strict=True):
                    total.record(shard, found, own.tolist())
                check_bad(total.account.bad, self._expected, run.config.grad.max_bad)
                total.save()
            total.save(at_once=True)


def _make_second_pass(run: RunDir) -> Worker:
    return _SecondPass(run)


class _SecondPass:
    """The engine of one process and the sum U of all."""

    def __init__(self, run: RunDir) -> None:
        self._run, self._fingerprint = run, run.fingerprint("grad")
        self._read, self._engine = sample_reader(run, load_success(run)), make_engine(run)
        self._direction: Direction = zero_direction(self._engine)
        states = [_add_up(file, self._direction) for file in _sums(run)]
        if sorted(chain.from_iterable(state["shards"] for state in states)) != [shard.index for shard in run.shards()]:
            raise RunError(
                f"{_folder(run)}: pass 1 has a shard twice, or lacks one; run the same command again, which makes it good"
            )
        self._norms = {id: norm for state in states for id, norm in state["norms"].items()}

    def __call__(self, shards: Iterator[Shard], progress: Progress) -> None:
        run, engine = self._run, self._engine
        for window in windows(shards, self._read, lambda: engine.budget.window):
            good = [[sample for sample in found.samples if sample.id in self._norms] for _, found in window]
            with progress.part(sum(len(shard) for shard, _ in window)) as advance:
                products = inner_products(engine, list(chain.from_iterable(good)), self._direction, advance).cpu()
            for (shard, _), samples, own in zip(window, good, products.split(list(map(len, good))), strict=True):
                norms = torch.tensor([self._norms[sample.id] for sample in samples], dtype=torch.float64)
                columns = {"id": [s.id for s in samples], "norm": norms.tolist(), "alignment": (own / norms).tolist()}
                write_parquet(_part(run, shard), pa.table(columns, schema=SCHEMA), self._fingerprint, shard.rows)


def _finish(run: RunDir, fingerprint: str) -> None:
    account = Account()
    for state in _states(run, fingerprint):
        _add_account(account, state)
    table = pa.concat_tables([read_parquet(_part(run, shard)) for shard in run.shards()])
    metadata = {"account": json.dumps(vars(account))}
    write_parquet(run.exact_file, table.replace_schema_metadata(metadata), fingerprint)


def _folder(run: RunDir) -> Path:
    return run.exact_file.parent / "exact"


def _part(run: RunDir, shard: Shard) -> Path:
    return _folder(run) / f"part-{shard.index:05d}.parquet"
