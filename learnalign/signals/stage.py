"""`signal`: computes per-prompt numbers other than rollouts and gradients, shard by shard."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from learnalign.executor import Worker, execute
from learnalign.names import SIGNALS, check_name
from learnalign.progress import Advance
from learnalign.prompts import Prompt, load_prompts
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import is_done, read_parquet, write_parquet
from learnalign.signals.rendered import check_answers, render_prompts
from learnalign.signals.signal import Signal, SignalInputs
from learnalign.signals.table import part_file, signal_fingerprint, signal_table

STAGE = "signal"


@dataclass(frozen=True, kw_only=True)
class SignalResult:
    """Prompts with a value, those without by reason, and what values are computed over (solution, rollout, prompt)."""

    name: str
    path: Path
    values: int
    skipped: dict[str, int]
    over: dict[str, int]


def find_signal(name: str) -> Signal:
    """`SIGNAL` of the module of that name; raises InputError naming the known ones."""
    return import_module(f"learnalign.signals.{check_name('signal', name, SIGNALS)}").SIGNAL


def signal(run: RunDir, names: Sequence[str]) -> list[SignalResult]:
    """Writes signals/NAME.parquet for every name; finished shards and signals are not computed again.

    Raises InputError for unknown names, RunError if a signal needs a policy, rollouts or rewards that do not exist.
    """
    signals = [find_signal(name) for name in dict.fromkeys(names)]
    prompts = load_prompts(run)
    with run.stage(STAGE) as record:
        fingerprints = {one.name: signal_fingerprint(run, one) for one in signals}
        missing = [one for one in signals if not is_done(run.signal_file(one.name), fingerprints[one.name])]
        if any(one.answers for one in missing):
            check_answers(run, prompts)
        todo = {shard: _missing_parts(run, shard, missing, fingerprints) for shard in run.shards()}
        shards = [shard for shard in run.shards() if todo[shard]]
        label = "signals " + ", ".join(one.name for one in missing)
        execute(run, label, shards, lambda: _make_worker(run, prompts, todo, fingerprints))
        results = [_complete(run, one, fingerprints[one.name]) for one in signals]
        earlier = run.read_record()["stages"].get(STAGE, {}).get("signals", {})
        counts = {result.name: {**asdict(result), "path": result.path.name} for result in results}
        record.notes["signals"] = {**earlier, **counts}
    return results


def _missing_parts(
    run: RunDir, shard: Shard, signals: Sequence[Signal], fingerprints: Mapping[str, str]
) -> list[Signal]:
    """Those of `signals` whose part of the shard has not been written with these settings."""
    return [one for one in signals if not is_done(part_file(run, one.name, shard), fingerprints[one.name])]


def _make_worker(
    run: RunDir, prompts: Sequence[Prompt], todo: Mapping[Shard, Sequence[Signal]], fingerprints: Mapping[str, str]
) -> Worker:
    """A worker that writes the parts `todo` of a shard; loads what their signals need once."""
    inputs = SignalInputs(run)
    signals = {one.name: one for missing in todo.values() for one in missing}
    compute = {name: one.make(inputs) for name, one in signals.items()}

    def work(shard: Shard, advance: Advance) -> None:
        answers = any(one.answers for one in todo[shard])
        rendered = render_prompts(run, shard, prompts[shard.start : shard.stop], inputs.tokenizer, answers)
        for one in todo[shard]:
            table = signal_table(one, rendered, compute[one.name](rendered))
            write_parquet(part_file(run, one.name, shard), table, fingerprints[one.name])

    return work


def _complete(run: RunDir, signal: Signal, fingerprint: str) -> SignalResult:
    """Joins the parts, if that was not done before, and updates the values."""
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
