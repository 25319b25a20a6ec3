"""The stored groups: rollouts/part-NNNNN.parquet, one row per rollout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learnalign.errors import RunError
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import read_parquet, write_parquet

if TYPE_CHECKING:
    import pyarrow as pa

LEFT_OUT = b"learnalign.left_out"
COUNTS = b"learnalign.counts"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion; `reward` is 1.0, 0.0 or None (not scored), `finish_reason` stop or length."""

    id: str
    sample: int
    prompt_ids: list[int]
    completion_ids: list[int]
    text: str
    reward: float | None
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rollout's reward, its number of sampled tokens, and whether it was cut off."""

    reward: float | None
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Scored and correct rollouts of one prompt whose completions are not known."""

    id: str
    scored: int
    correct: int


def _schema() -> pa.Schema:
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    return pa.schema(
        [
            ("id", pa.string()),
            ("sample", pa.int32()),
            ("prompt_ids", ids),
            ("completion_ids", ids),
            ("text", pa.string()),
            ("reward", pa.float64()),
            ("finish_reason", pa.string()),
        ]
    )


def write_rollouts(
    run: RunDir,
    shard: Shard,
    rollouts: Sequence[Rollout],
    left_out: Sequence[Quarantined] = (),
    counts: Sequence[Counts] = (),
) -> None:
    """Store a shard; its metadata holds the prompts that could not be sampled and the groups known by counts only."""
    import pyarrow as pa

    names = _schema().names
    table = pa.table(
        {name: [getattr(rollout, name) for rollout in rollouts] for name in names},
        schema=_schema().with_metadata(
            {
                LEFT_OUT: json.dumps([[entry.id, entry.row, entry.reason] for entry in left_out]).encode(),
                COUNTS: json.dumps([[entry.id, entry.scored, entry.correct] for entry in counts]).encode(),
            }
        ),
    )
    write_parquet(run.rollouts_file(shard), table, run.fingerprint("rollout"))


def load_rollouts(run: RunDir, shard: Shard) -> list[Rollout]:
    """A shard's rollouts in the pool's order, by ascending sample; raises RunError where there are none yet."""
    return [Rollout(**row) for row in _read(run, shard).to_pylist()]


def load_outcomes(run: RunDir, shard: Shard) -> dict[str, list[Outcome]]:
    """What came of a shard's rollouts by prompt id, by ascending sample, without their tokens and text."""
    import pyarrow.compute as pc

    table = _read(run, shard, ["id", "reward", "completion_ids", "finish_reason"])
    lengths = pc.list_value_length(table["completion_ids"]).to_pylist()
    columns = [table[name].to_pylist() for name in ("id", "reward", "finish_reason")]
    outcomes: dict[str, list[Outcome]] = {}
    for id, reward, reason, tokens in zip(*columns, lengths, strict=True):
        outcomes.setdefault(id, []).append(Outcome(reward, tokens, reason == "length"))
    return outcomes


def load_left_out(run: RunDir, shard: Shard) -> list[Quarantined]:
    """The prompts of a shard that could not be sampled."""
    return [Quarantined(id=id, row=row, reason=reason) for id, row, reason in _metadata(run, shard, LEFT_OUT)]


def load_counts(run: RunDir, shard: Shard) -> list[Counts]:
    """The groups of a shard that are known by their counts only."""
    return [Counts(id, scored, correct) for id, scored, correct in _metadata(run, shard, COUNTS)]


def _metadata(run: RunDir, shard: Shard, key: bytes) -> Iterable[list]:
    return json.loads(_read(run, shard, []).schema.metadata.get(key, b"[]"))


def _read(run: RunDir, shard: Shard, columns: list[str] | None = None) -> pa.Table:
    file = run.rollouts_file(shard)
    if not file.is_file():
        raise RunError(f"{file} is not there yet; run `learnalign rollout {run.path}` first")
    return read_parquet(file, columns)
