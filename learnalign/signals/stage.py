"""`signal`: per-prompt numbers other than rollouts and gradients, shard by shard."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from learnalign.executor import Worker as ShardWorker
from learnalign.executor import execute
from learnalign.names import SIGNALS, check_name
from learnalign.progress import Advance
from learnalign.prompts import Prompt, load_prompts
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import is_done, read_parquet, write_parquet
from learnalign.signals.rendered import check_answers, read_samples
from learnalign.signals.signal import Signal, Worker
from learnalign.signals.table import part_file, signal_fingerprint, signal_table

STAGE = "signal"


@dataclass(frozen=True, kw_only=True)
class SignalResult:
    """Prompts with a value, those without by reason, and what it was taken over (solution, rollout, prompt)."""

    name: str
    path: Path
    values: int
    skipped: dict[str, int]
    over: dict[str, int]


def find_signal(name: str) -> Signal:
    """`SIGNAL` of the module of that name; raises InputError naming the known ones."""
    return import_module(f"learnalign.signals.{check_name('signal', name, SIGNALS)}").SIGNAL


def signal(run: RunDir, names: Sequence[str]) -> list[SignalResult]:
    """Write signals/NAME.parquet for every name; finished shards and signals stay as they are.

    Raises InputError for unknown names, RunError where the policy, rollouts or rewards are needed and not there yet.
    """
    wanted = [find_signal(name) for name in dict.fromkeys(names)]
    prompts = load_prompts(run)
    with run.stage(STAGE) as record:
        fingerprints = {one.name: signal_fingerprint(run, one) for one in wanted}
        missing = [one for one in wanted if not is_done(run.signal_file(one.name), fingerprints[one.name])]
        if any(one.answers for one in missing):
            check_answers(run, prompts)
        work = _Work(run, prompts, missing, fingerprints)
        shards = [shard for shard in run.shards() if work.todo(shard)]
        execute(run, "signals " + ", ".join(one.name for one in missing), shards, work.start)
        results = [_complete(run, one, fingerprints[one.name]) for one in wanted]
        earlier = run.read_record()["stages"].get(STAGE, {}).get("signals", {})
        told = {result.name: {**asdict(result), "path": result.path.name} for result in results}
        record.notes["signals"] = {**earlier, **told}
    return results


class _Work:
    """Which signals of which shards are still to be made, and the worker that makes them."""

    def __init__(
        self, run: RunDir, prompts: Sequence[Prompt], signals: Sequence[Signal], fingerprints: dict[str, str]
    ) -> None:
        self.run, self.prompts, self.signals, self.fingerprints = run, prompts, signals, fingerprints

    def todo(self, shard: Shard) -> list[Signal]:
        """Signals of which the shard's part is not there."""
        return [
            one
            for one in self.signals
            if not is_done(part_file(self.run, one.name, shard), self.fingerprints[one.name])
        ]

    def start(self) -> ShardWorker:
        """A worker: loads what the signals need once, then writes the missing parts of the shards it is given."""
        worker = Worker(self.run)
        compute = {one.name: one.make(worker) for one in self.signals}

        def work(shard: Shard, advance: Advance) -> None:
            signals, prompts = self.todo(shard), self.prompts[shard.start : shard.stop]
            answers = any(one.answers for one in signals)
            samples = read_samples(self.run, shard, prompts, worker.tokenizer, answers)
            for one in signals:
                table = signal_table(one, samples, compute[one.name](samples))
                write_parquet(part_file(self.run, one.name, shard), table, self.fingerprints[one.name])

        return work


def _complete(run: RunDir, signal: Signal, fingerprint: str) -> SignalResult:
    """Join the parts, unless that was done before, and bring the values up to date."""
    path = run.signal_file(signal.name)
    parts = [part_file(run, signal.name, shard) for shard in run.shards()]
    done = is_done(path, fingerprint)
    table = read_parquet(path) if done else pa.concat_tables([read_parquet(part) for part in parts])
    finished = signal.finish(run, table)
    if not done or not finished.equals(table):
        write_parquet(path, finished, fingerprint)
    if parts[0].parent.is_dir():
        shutil.rmtree(parts[0].parent)
    skipped = Counter(reason for reason in finished["skipped"].to_pylist() if reason)
    over = Counter(kind for kind in finished["over"].to_pylist() if kind)
    count = finished.num_rows - finished["value"].null_count
    return SignalResult(name=signal.name, path=path, values=count, skipped=dict(skipped), over=dict(over))
