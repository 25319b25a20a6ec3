"""The stored groups: rollouts/part-NNNNN.parquet, one row per rollout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from learnalign.errors import InputError
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done, missing, read_parquet, write_parquet
from learnalign.verify import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

LEFT_OUT = b"learnalign.left_out"
COUNTS = b"learnalign.counts"
OPENED = b"learnalign.opened"
SOURCE = b"learnalign.source"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion; `reward` is 1.0, 0.0 or None (not scored), `finish_reason` is stop or length."""

    id: str
    sample: int
    prompt_ids: list[int]
    completion_ids: list[int]
    text: str
    reward: float | None
    finish_reason: str
    reason: str | None = None  # of the reward; files of earlier versions have none
    answer: str | None = None  # read from the text; None from a user's function, and in files of earlier versions
    share_passed: float | None = None  # of a program's tests; None without a program, and in files of earlier versions


def judged_rollout(
    id: str,
    sample: int,
    prompt_ids: list[int],
    completion_ids: list[int],
    text: str,
    finish_reason: str,
    verdict: Verdict,
) -> Rollout:
    """A completion with its verdict."""
    judged = (verdict.reason, verdict.answer, verdict.share_passed)
    return Rollout(id, sample, prompt_ids, completion_ids, text, verdict.reward, finish_reason, *judged)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rollouts of a prompt came to: how many there are, are scored, correct, cut off, and cut off before the longest
    that the run allows; and their sampled tokens."""

    samples: int
    scored: int
    correct: int
    tokens: int
    truncated: int
    cut_short: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Scored and correct rollouts of a prompt whose completions are unknown."""

    id: str
    scored: int
    correct: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where rollouts come from: the engine that sampled them, or a file and the digest of its content."""

    engine: str = ""
    file: str = ""
    digest: str = ""


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
            ("answer", pa.string()),
            ("reason", pa.string()),
            ("finish_reason", pa.string()),
            ("share_passed", pa.float64()),
        ]
    )


def write_rollouts(
    run: RunDir,
    shard: Shard,
    rollouts: Sequence[Rollout],
    left_out: Sequence[Quarantined] = (),
    counts: Sequence[Counts] = (),
    opened: str = "",
    source: Source | None = None,
) -> None:
    """Store a shard.

    The file's metadata holds the prompts that were left out, the groups known by their counts only, the tag of a reasoning
    that the prompts opened, and where the rollouts come from.
    """
    import pyarrow as pa

    names = _schema().names
    table = pa.table(
        {name: [getattr(rollout, name) for rollout in rollouts] for name in names},
        schema=_schema().with_metadata(
            {
                LEFT_OUT: json.dumps([[entry.id, entry.row, entry.reason] for entry in left_out]).encode(),
                COUNTS: json.dumps([[entry.id, entry.scored, entry.correct] for entry in counts]).encode(),
                **({OPENED: opened.encode()} if opened else {}),
                **({SOURCE: json.dumps(asdict(source)).encode()} if source else {}),
            }
        ),
    )
    write_parquet(run.rollouts_file(shard), table, run.fingerprint("rollout"), shard.rows)


def load_rollouts(run: RunDir, shard: Shard) -> list[Rollout]:
    """A shard's rollouts in the pool's order, by ascending sample; raises RunError if they are missing."""
    return [Rollout(**row) for row in _read(run, shard).to_pylist()]


def load_endings(run: RunDir, shard: Shard) -> list[tuple[str, float | None, str]]:
    """Prompt id, reward and finish_reason of a shard's rollouts, in their order."""
    names = ["id", "reward", "finish_reason"]
    table = _read(run, shard, names)
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def load_opened(run: RunDir, shard: Shard) -> str:
    """The tag of a reasoning that the shard's prompts opened; empty without one."""
    metadata: dict[bytes, bytes] = _read(run, shard, ["id"]).schema.metadata
    return metadata.get(OPENED, b"").decode()


def stored_shards(run: RunDir) -> dict[Shard, Source]:
    """The undamaged shards made with the run's settings, and where each comes from."""
    stored: dict[Shard, Source] = {}
    for shard in run.shards():
        if is_done(run.rollouts_file(shard), run.fingerprint("rollout"), shard.rows):
            source = (_read(run, shard, ["id"]).schema.metadata or {}).get(SOURCE)
            stored[shard] = Source(**json.loads(source)) if source else Source()
    return stored


def refuse_mixture(run: RunDir, stored: Mapping[Shard, Source], requested: Source | None = None) -> None:
    """Raise InputError if rollouts are stored that did not come from the file `requested`; None are those of an engine."""
    digest = requested.digest if requested else ""
    for shard, source in stored.items():
        if source.digest != digest:
            came = f"came from {source.file}" if source.file else "were sampled"
            on = f"`learnalign rollout {run.quoted}{f' --from {source.file}' if source.file else ''}`"
            raise InputError(
                f"{run.path} has rollouts already: {run.rollouts_file(shard)} and others {came}. Ways out: go on with {on}; "
                "pass --overwrite to replace them and all results made from them; or choose a new run directory"
            )


@dataclass(frozen=True)
class Stored:
    """What all shards hold but tokens and text: outcomes and counts by prompt id, unscored rollouts by the reason, and prompts left out."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    unscored: Counter[str | None] = field(default_factory=Counter)
    left_out: list[Quarantined] = field(default_factory=list)


def load_outcomes(run: RunDir) -> Stored:
    """What all shards hold, in memory for a prompt, not for a rollout; raises RunError if one is missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    stored, room = Stored(), run.config.rollout.max_completion_length
    for shard in run.shards():
        table = _read(run, shard, ["id", "reward", "reason", "completion_ids", "finish_reason"])
        ids = table["id"].combine_chunks().dictionary_encode()
        groups, size = ids.indices.to_numpy(), len(ids.dictionary)
        scored = table["reward"].is_valid().to_numpy()
        cut = pc.equal(table["finish_reason"], "length").to_numpy()
        tokens = pc.list_value_length(table["completion_ids"]).to_numpy()
        rewards = table["reward"].fill_null(0.0).to_numpy()
        numbers = (None, scored, rewards, tokens, cut, cut & (tokens < room))
        sums = [np.bincount(groups, each, size).astype(int).tolist() for each in numbers]
        stored.outcomes.update(zip(ids.dictionary.to_pylist(), map(Outcome, *sums), strict=True))
        reasons = table["reason"] if "reason" in table.column_names else pa.nulls(len(table), pa.string())
        stored.unscored.update(reasons.filter(pa.array(~scored)).to_pylist())
        metadata = table.schema.metadata
        counts = json.loads(metadata.get(COUNTS, b"[]"))
        stored.counts.update((id, Counts(id, *numbers)) for id, *numbers in counts)
        left_out = json.loads(metadata.get(LEFT_OUT, b"[]"))
        stored.left_out.extend(Quarantined(id=id, row=row, reason=why) for id, row, why in left_out)
    return stored


def none_scored(run: RunDir, shard: Shard) -> bool:
    """Whether no rollout of the stored shard is scored, though it is of several prompts (or all): the verifier failed."""
    table = _read(run, shard, ["id", "reward"])
    several = len(table["id"].unique()) > 1 or len(run.shards()) == 1
    return several and 0 < len(table) == table["reward"].null_count


def store_verdicts(run: RunDir, shard: Shard, verdicts: Sequence[Verdict]) -> None:
    """Replace the verdicts of the stored shard."""
    import pyarrow as pa

    table = _read(run, shard)
    judged = ("reward", "answer", "reason", "share_passed")
    kept = table.drop_columns([name for name in judged if name in table.column_names])
    for name in judged:
        values = [getattr(verdict, name) for verdict in verdicts]
        kept = kept.append_column(name, pa.array(values, _schema().field(name).type))
    ordered = kept.select(_schema().names).replace_schema_metadata(table.schema.metadata)
    write_parquet(run.rollouts_file(shard), ordered, run.fingerprint("rollout"), shard.rows)


def _read(run: RunDir, shard: Shard, columns: list[str] | None = None) -> pa.Table:
    file = run.rollouts_file(shard)
    if not file.is_file():
        raise missing(file)
    return read_parquet(file, columns)
