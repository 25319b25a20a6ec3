"""`signal`: computes per-prompt numbers other than rollouts and gradients, shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from learnalign.errors import InputError
from learnalign.executor import Work, Worker, execute, one_by_one
from learnalign.names import SIGNALS, check_name
from learnalign.policy import NamedModel, identify, other_than_policy, settled
from learnalign.progress import Advance
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import fingerprint_of, is_done, read_parquet, remove, write_parquet
from learnalign.signals.rendered import check_answers, render_prompts
from learnalign.signals.signal import Compute, Signal, SignalInputs
from learnalign.signals.table import signal_fingerprint, signal_table, stored_model, with_model

STAGE = "signal"


@dataclass(frozen=True, kw_only=True)
class SignalResult:
    """Prompts with a value, those without by reason, and what values are computed over (solution, rollout, prompt).

    `policy` is the model that they are of, None for a signal that uses none.
    """

    name: str
    policy: str | None
    path: Path
    values: int
    skipped: dict[str, int]
    over: dict[str, int]


def find_signal(name: str) -> Signal:
    """`SIGNAL` of the module of that name; raises InputError naming the known ones."""
    return import_module(f"learnalign.signals.{check_name('signal', name, SIGNALS)}").SIGNAL


def signal(
    run: RunDir, names: Sequence[str], policy: str | None = None, *, overwrite: bool = False
) -> list[SignalResult]:
    """Writes signals/NAME.parquet for every name; finished shards and signals are not computed again.

    Args:
        policy: the model that the values are of: policy, base, train/NAME or a directory; replaces `signal.policy`.
        overwrite: compute them anew, and replace what is stored of them.

    Raises InputError for unknown names and if the stored values are another model's, RunError if a signal needs a policy,
    rollouts or rewards that do not exist.
    """
    signals = [find_signal(name) for name in dict.fromkeys(names)]
    prompts = load_prompts(run)
    name = policy or run.config.signal.policy
    model = identify(run, name, "signal.policy") if any(one.model for one in signals) else None
    with run.stage(STAGE) as record:
        for one in signals if not overwrite else ():
            _refuse_other_model(run, one, model)
        fingerprints = {one.name: signal_fingerprint(run, one, model if one.model else None) for one in signals}
        missing = [
            one for one in signals if overwrite or not is_done(run.signal_file(one.name), fingerprints[one.name])
        ]
        if any(one.answers for one in missing):
            check_answers(run, prompts)
        if missing:
            settled(run)  # by this process, not by several workers
            execute(run, _work(run, missing, fingerprints, model, overwrite))
        with run.alone():
            new = [
                one for one in missing if overwrite or not is_done(run.signal_file(one.name), fingerprints[one.name])
            ]
            results = [
                _complete(run, one, fingerprints[one.name], model if one.model else None, new=one in new)
                for one in signals
            ]
            earlier = run.read_record()["stages"].get(STAGE, {}).get("signals", {})
            counts = {result.name: {**asdict(result), "path": result.path.name} for result in results}
            record.notes["signals"] = {**earlier, **counts}
    return results


def _files(run: RunDir, signal: Signal) -> list[Path]:
    """The signal's file and its parts, those that exist."""
    every = [run.signal_file(signal.name), *(run.signal_part(signal.name, shard) for shard in run.shards())]
    return [path for path in every if path.is_file()]


def _refuse_other_model(run: RunDir, signal: Signal, requested: NamedModel | None) -> None:
    """Raise InputError if values of another model than the requested one are stored."""
    if not signal.model or requested is None:
        return
    wanted = other_than_policy(run, requested)
    for path in _files(run, signal):
        stored = stored_model(path) if fingerprint_of(path) else requested  # a damaged file is made again
        if other_than_policy(run, stored) != wanted:
            name = stored.name if stored else "policy"
            changed = " as it is now" if name == requested.name else ""
            raise InputError(
                f"{path}: stored the {signal.name} of {name}, requested that of {requested.name}{changed}; pass "
                f"--overwrite to replace it, keep it with --policy {name}, or choose a new run directory"
            )


def _work(
    run: RunDir, signals: Sequence[Signal], fingerprints: Mapping[str, str], model: NamedModel | None, anew: bool
) -> Work:
    """Parts of `signals`; `anew` even if another process has joined them already."""

    def is_stored(one: Signal, shard: Shard) -> bool:
        joined = not anew and is_done(run.signal_file(one.name), fingerprints[one.name])
        return joined or _has_part(run, one.name, shard, fingerprints[one.name])

    return Work(
        stage=STAGE,
        label="signals " + ", ".join(one.name for one in signals),
        make=_make_worker,
        done=lambda shard: all(is_stored(one, shard) for one in signals),
        options={
            "fingerprints": {one.name: fingerprints[one.name] for one in signals},
            "model": asdict(model) if model else None,
        },
    )


def _has_part(run: RunDir, name: str, shard: Shard, fingerprint: str) -> bool:
    """Whether the signal's part of the shard has been written with these settings."""
    return is_done(run.signal_part(name, shard), fingerprint, shard.rows)


def _make_worker(run: RunDir, fingerprints: dict[str, str], model: dict[str, str] | None) -> Worker:
    """A worker that writes the parts of a shard that are missing; loads what their signals need once."""
    prompts, named = load_prompts(run), NamedModel(**model) if model else None
    inputs = SignalInputs(run, named.name if named else "policy")
    signals = [find_signal(name) for name in fingerprints]
    compute: dict[str, Compute] = {}

    def work(shard: Shard, advance: Advance) -> None:
        todo = [one for one in signals if not _has_part(run, one.name, shard, fingerprints[one.name])]
        answers = any(one.answers for one in todo)
        rendered = render_prompts(run, shard, prompts, inputs.tokenizer, answers)
        for one in todo:
            if one.name not in compute:
                compute[one.name] = one.make(inputs)
            table = signal_table(one, rendered, compute[one.name](rendered))
            table = with_model(table, named if one.model else None)
            write_parquet(run.signal_part(one.name, shard), table, fingerprints[one.name], shard.rows)

    return one_by_one(work)


def _complete(run: RunDir, signal: Signal, fingerprint: str, model: NamedModel | None, *, new: bool) -> SignalResult:
    """Joins the parts of a new signal, and updates the values."""
    path = run.signal_file(signal.name)
    parts = [run.signal_part(signal.name, shard) for shard in run.shards()]
    table = pa.concat_tables([read_parquet(part) for part in parts]) if new else read_parquet(path)
    finished = signal.finish(run, table)
    if new or not finished.equals(table):
        write_parquet(path, with_model(finished, model), fingerprint)
    remove(run.signal_parts(signal.name))
    skipped = Counter(reason for reason in finished["skipped"].to_pylist() if reason)
    over = Counter(kind for kind in finished["over"].to_pylist() if kind)
    count = finished.num_rows - finished["value"].null_count
    return SignalResult(
        name=signal.name,
        policy=model.name if model else None,
        path=path,
        values=count,
        skipped=dict(skipped),
        over=dict(over),
    )
