"""success.parquet: the success rate p and the learnability V = p(1 − p) of every prompt (§4.4, step 3): write, read."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learnalign.errors import InputError, RunError
from learnalign.rollouts.groups import Counts, Outcome
from learnalign.rollouts.uncertainty import credible_interval
from learnalign.rundir import RunDir
from learnalign.rundir.files import FINGERPRINT, read_parquet, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Success:
    """A row of success.parquet; 90 % of p's posterior (Jeffreys' prior) lie between `success_low` and `success_high`.

    If nothing was scored, the success rate is None, the learnability 0, and the interval that of the prior.
    """

    id: str
    samples: int
    scored: int
    correct: int
    success_rate: float | None
    learnability: float
    success_low: float
    success_high: float


def success_of(id: str, samples: int, scored: int, correct: int) -> Success:
    """p, V and the interval of a group with `correct` of `scored` rollouts."""
    rate = correct / scored if scored else None
    learnability = rate * (1 - rate) if rate is not None else 0.0
    return Success(id, samples, scored, correct, rate, learnability, *_interval(correct, scored))


_interval = functools.lru_cache(maxsize=None)(credible_interval)


def summarize(ids: Sequence[str], outcomes: Mapping[str, Outcome], counts: Mapping[str, Counts]) -> list[Success]:
    """Success of the prompts with these ids, from their counts or their rollouts; without either one has 0 samples."""
    rows = []
    for id in ids:
        if group := counts.get(id):
            rows.append(success_of(id, group.scored, group.scored, group.correct))
        elif outcome := outcomes.get(id):
            rows.append(success_of(id, outcome.samples, outcome.scored, outcome.correct))
        else:
            rows.append(success_of(id, 0, 0, 0))
    return rows


def write_success(run: RunDir, rows: Sequence[Success]) -> None:
    """Write success.parquet."""
    import pyarrow as pa

    whole, real = pa.int32(), pa.float64()
    kinds = {"id": pa.string(), "samples": whole, "scored": whole, "correct": whole}
    kinds |= dict.fromkeys(("success_rate", "learnability", "success_low", "success_high"), real)
    columns = {name: [getattr(row, name) for row in rows] for name in kinds}
    write_parquet(
        run.success_file, pa.table(columns, schema=pa.schema(list(kinds.items()))), run.fingerprint("rollout")
    )


def load_success(run: RunDir, *, check: bool = True) -> dict[str, Success]:
    """Rows of success.parquet by id, in the pool's order.

    Raises RunError if there is none, and with `check` InputError if it was made with other settings than the run has.
    """
    table = success_table(run, check=check)
    columns = [table[name].to_pylist() for name in Success.__dataclass_fields__]
    return {values[0]: Success(*values) for values in zip(*columns, strict=True)}


def success_table(run: RunDir, *, check: bool = True) -> pa.Table:
    """The columns of success.parquet; raises as `load_success`."""
    path, command = run.success_file, f"learnalign rollout {run.quoted}"
    if not path.is_file():
        raise RunError(f"{path} does not exist; run `{command}` first")
    table = read_parquet(path)
    if check and (table.schema.metadata or {}).get(FINGERPRINT.encode(), b"").decode() != run.fingerprint("rollout"):
        raise InputError(
            f"{path} was made with other settings, data or model than this run directory has; run `{command} "
            "--overwrite` to make it again, undo the change, or choose a new run directory"
        )
    return table


def distribution(rows: Sequence[Success]) -> dict[str, int]:
    """How many prompts have p = 0, p in each quarter, p = 1, and no p, by the name of the bin."""
    names = ["0", "(0, 1/4]", "(1/4, 1/2]", "(1/2, 3/4]", "(3/4, 1)", "1", "unscored"]
    counts = Counter(_bin(row.success_rate) for row in rows)
    return {name: counts[i] for i, name in enumerate(names)}


def _bin(rate: float | None) -> int:
    if rate is None:
        return 6
    return 0 if rate == 0 else 5 if rate == 1 else 1 + int(rate > 0.25) + int(rate > 0.5) + int(rate > 0.75)
