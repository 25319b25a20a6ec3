"""The two-stage cascade (LearnAlign, App. G.2): a cheap signal keeps K prompts, and gradients are taken of these alone.

The choice is stored once, in gradients/cascade.parquet: a resumed stage keeps to it, also if the signal is computed again meanwhile.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from learnalign.config import CascadeConfig
from learnalign.errors import InputError, RunError, counted
from learnalign.gradients.inputs import why_skipped
from learnalign.rollouts.success import Success
from learnalign.rundir import RunDir
from learnalign.rundir.files import fingerprint_of, is_done, read_parquet, write_parquet
from learnalign.signals import find_signal, stored_fingerprint

LEARNABILITY = "learnability"


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """`kept` of the `candidates`, the prompts that would have a gradient without it, have one; `digest` is that of the kept ids."""

    signal: str
    candidates: int
    kept: int
    digest: str


def keep_of(cascade: CascadeConfig, prompts: int) -> int:
    """K as a number, of a pool of so many prompts; raises InputError if it is larger."""
    if cascade.keep < 1:
        return max(1, round(cascade.keep * prompts))
    if cascade.keep > prompts:
        raise InputError(
            f"grad.cascade.keep: {cascade.keep:,} is more than the {counted(prompts, 'prompt')} of the pool; give at most "
            f"{prompts:,}, or a fraction of the pool such as 0.5"
        )
    return int(cascade.keep)


def check_cascade(run: RunDir) -> None:
    """Raise InputError if the signal of `grad.cascade` is not there, or was made with other settings, and its choice is not made."""
    cascade = run.config.grad.cascade
    if cascade is None or cascade.signal == LEARNABILITY or is_done(run.cascade_file, run.fingerprint("grad")):
        return
    path, command = run.signal_file(cascade.signal), f"learnalign signal {run.quoted} {cascade.signal}"
    file = path.relative_to(run.path)
    if not path.is_file():
        stages = ["warmup", "rollout"] if run.config.warmup.size else ["rollout"]
        commands = [f"`learnalign {stage} {run.quoted}`" for stage in stages if not run.is_finished(stage)]
        raise InputError(
            f"grad.cascade.signal: {run.quoted} has no {file}; say {', '.join([*commands, f'`{command}`'])}, then this command again, or "
            f"choose the signal {LEARNABILITY}, which the rollouts give"
        )
    if fingerprint_of(path) != stored_fingerprint(run, find_signal(cascade.signal)):
        raise InputError(
            f"grad.cascade.signal: {file} in {run.quoted} is damaged, or was made with other settings, data or model than the run has "
            f"now; `{command} --overwrite` makes it again"
        )


def choose_kept(run: RunDir, success: Mapping[str, Success]) -> Cascade | None:
    """Store which prompts have their gradients taken, unless that is done; None without `grad.cascade`.

    Candidates are the prompts that would have a gradient without it. Kept are the K highest by the signal, ties by ascending id, those
    without a value last. Raises InputError as `check_cascade` and `keep_of`, RunError if it would keep others than before.
    """
    cascade, fingerprint = run.config.grad.cascade, run.fingerprint("grad")
    if cascade is None:
        return None
    if not is_done(run.cascade_file, fingerprint):
        check_cascade(run)
        values = _values(run, cascade.signal, success)
        candidates = [id for id, row in success.items() if why_skipped(row, run.config.grad.prompts) is None]
        kept = best({id: values.get(id, math.nan) for id in candidates}, keep_of(cascade, len(success)))
        _refuse_others(run, fingerprint, _digest(kept))
        _write(run, {id: values.get(id, math.nan) for id in candidates}, kept, fingerprint)
    table = read_parquet(run.cascade_file)
    ids = [id for id, kept in zip(table["id"].to_pylist(), table["kept"].to_pylist(), strict=True) if kept]
    return Cascade(signal=cascade.signal, candidates=table.num_rows, kept=len(ids), digest=_digest(ids))


def best(values: Mapping[str, float], keep: int) -> list[str]:
    """The ids of the `keep` highest values, best first: ties by ascending id, NaN last."""
    return sorted(values, key=lambda id: (math.isnan(values[id]), 0.0 if math.isnan(values[id]) else -values[id], id))[
        :keep
    ]


def _values(run: RunDir, signal: str, success: Mapping[str, Success]) -> dict[str, float]:
    if signal == LEARNABILITY:
        return {id: row.learnability for id, row in success.items()}
    table = read_parquet(run.signal_file(signal), ["id", "value"])
    pairs = zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True)
    return {id: math.nan if value is None else value for id, value in pairs}


def _write(run: RunDir, values: Mapping[str, float], kept: list[str], fingerprint: str) -> None:
    import pyarrow as pa

    chosen, numbers = set(kept), [None if math.isnan(value) else value for value in values.values()]
    columns = {"id": pa.array(values, pa.string()), "value": pa.array(numbers, pa.float64())}
    columns["kept"] = pa.array([id in chosen for id in values], pa.bool_())
    write_parquet(run.cascade_file, pa.table(columns), fingerprint)


def _refuse_others(run: RunDir, fingerprint: str, digest: str) -> None:
    """Raise RunError if a choice that is no longer there kept other prompts than this one."""
    entry = run.read_record()["stages"].get("grad", {})
    stored = entry.get("cascade", {}).get("digest", digest) if entry.get("fingerprint") == fingerprint else digest
    if stored != digest:
        raise RunError(
            f"{run.cascade_file} is missing or damaged, and its signal was computed again since, so that other prompts would be kept "
            "than those that have gradients; put the file back, or "
            f"take all gradients again with `learnalign grad {run.quoted} --overwrite`"
        )


def _digest(ids: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]
