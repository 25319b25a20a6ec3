"""What the report shows of a run, read by the stages' own readers. No torch: a page of a small run takes a second."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learnalign.pool_table import Prompt, Prompts
from learnalign.prompts import stored_prompts
from learnalign.report.columns import Column, find_columns
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import has_been_written, read_jsonl, read_parquet
from learnalign.summary import summarise

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_TEXT = 2000  # characters of a completion
NUMBERS = ("score", "rank", "alignment", "norm", "signal", "kept")


@dataclass(frozen=True)
class Ranking:
    """scores/METHOD.parquet in the pool's order; numbers are NaN where the file has null."""

    method: str
    score: np.ndarray
    rank: np.ndarray
    alignment: np.ndarray
    norm: np.ndarray
    signal: np.ndarray
    kept: np.ndarray
    chosen: np.ndarray
    skipped: list[str | None]


@dataclass(frozen=True)
class Success:
    """success.parquet in the pool's order; prompts without rollouts have NaN."""

    samples: np.ndarray
    scored: np.ndarray
    correct: np.ndarray
    rate: np.ndarray
    learnability: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Lengths:
    """By prompt: completions, their tokens, those cut off by the limit, characters of their texts as far as they are shown."""

    completions: np.ndarray
    tokens: np.ndarray
    cut: np.ndarray
    characters: np.ndarray


class Gathered:
    """A run's results, each read on first use; what a run does not have (yet) is None or empty."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.record = run.read_record()
        self.summary: dict[str, Any] = summarise(run)

    @property
    def directory(self) -> str:
        """The run directory as a word of a command."""
        return shlex.quote(str(self.run.path))

    @functools.cached_property
    def missing(self) -> list[str]:
        """Files that stages have stored and that are not there."""
        gone = {
            file
            for stage in self.record["stages"]
            for file, what in self.run.missing(stage).items()
            if what == "missing"
        }
        if has_been_written(self.run.quarantine_file) and not self.run.quarantine_file.is_file():  # of no stage alone
            gone.add(self.run.quarantine_file.name)
        return sorted(gone)

    @functools.cached_property
    def prompts(self) -> Prompts:
        return stored_prompts(self.run) if self.run.prompts_file.is_file() else Prompts.of([])

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Places in the pool by id."""
        return {prompt.id: place for place, prompt in enumerate(self.prompts)}

    @functools.cached_property
    def columns(self) -> list[Column]:
        return find_columns(self.prompts, self.run.config.data)

    @functools.cached_property
    def success(self) -> Success | None:
        if not self.run.success_file.is_file():
            return None
        names = ("samples", "scored", "correct", "success_rate", "learnability", "success_low", "success_high")
        columns = np.full((len(names), len(self.prompts)), np.nan)
        for id, row in load_success(self.run, check=False).items():
            if (place := self.places.get(id)) is not None:
                columns[:, place] = [np.nan if (value := getattr(row, n)) is None else value for n in names]
        return Success(*columns)

    @functools.cached_property
    def learnable(self) -> np.ndarray:
        """Whether V > 0."""
        return self.success.learnability > 0 if self.success else np.zeros(len(self.prompts), bool)

    @functools.cached_property
    def rankings(self) -> dict[str, Ranking]:
        """By label; that of the settings comes first."""
        stored = [path.stem for path in sorted((self.run.path / "scores").glob("*.parquet"))]
        first = self.run.own_label
        return {name: self._ranking(name) for name in sorted(stored, key=lambda name: (name != first, name))}

    @property
    def ranking(self) -> Ranking | None:
        """That of the run's own method, or else of the first that there is."""
        return next(iter(self.rankings.values()), None)

    @property
    def chosen(self) -> np.ndarray:
        return self.ranking.chosen if self.ranking else np.zeros(len(self.prompts), bool)

    def _ranking(self, method: str) -> Ranking:
        table = read_parquet(self.run.scores_file(method), ["id", "selected", "skipped", *NUMBERS])
        places = [self.places.get(id, -1) for id in table["id"].to_pylist()]
        known = np.array(places) >= 0
        inside = np.array(places)[known]
        numbers = {name: np.full(len(self.prompts), np.nan) for name in NUMBERS}
        for name, column in numbers.items():
            column[inside] = table[name].to_numpy().astype(float)[known]
        chosen = np.zeros(len(self.prompts), bool)
        chosen[inside] = np.array(table["selected"].to_pylist(), bool)[known]
        skipped: list[str | None] = [None] * len(self.prompts)
        for place, reason in zip(places, table["skipped"].to_pylist(), strict=True):
            if place >= 0:
                skipped[place] = reason
        return Ranking(method=method, chosen=chosen, skipped=skipped, **numbers)

    def shards(self) -> list[Shard]:
        return self.run.shards() if self.prompts else []

    def rollouts(self) -> Iterator[tuple[Shard, pa.Table | None]]:
        """Every shard with its stored rollouts, in the pool's order."""
        for shard in self.shards():
            file = self.run.rollouts_file(shard)
            yield shard, read_parquet(file) if file.is_file() else None

    @functools.cached_property
    def lengths(self) -> Lengths:
        import pyarrow as pa
        import pyarrow.compute as pc

        sums = np.zeros((4, len(self.prompts)), np.int64)
        for _, table in self.rollouts():
            if table is None or not len(table):
                continue
            counted = pa.table(
                {
                    "id": table["id"],
                    "tokens": pc.list_value_length(table["completion_ids"]),
                    "cut": pc.cast(pc.equal(table["finish_reason"], "length"), pa.int64()),
                    "characters": pc.min_element_wise(pc.utf8_length(table["text"]), LONGEST_TEXT),
                }
            )
            aggregates = [("tokens", "count"), ("tokens", "sum"), ("cut", "sum"), ("characters", "sum")]
            grouped = counted.group_by("id").aggregate(aggregates)
            known = [(self.places.get(id), i) for i, id in enumerate(grouped["id"].to_pylist())]
            into, of = zip(*[(place, i) for place, i in known if place is not None], strict=True)
            for row, (name, kind) in zip(sums, aggregates, strict=True):
                row[list(into)] = grouped[f"{name}_{kind}"].to_numpy()[list(of)]
        return Lengths(*sums)

    @functools.cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The warmup's steps that have a reward."""
        file = self.run.warmup_dir / "metrics.jsonl"
        return [row for row in read_jsonl(file) if "reward" in row] if file.is_file() else []

    @property
    def order(self) -> np.ndarray:
        """Places in the pool, best first; the pool's order before a selection."""
        if self.ranking is None:
            return np.arange(len(self.prompts))
        return np.argsort(np.nan_to_num(self.ranking.rank, nan=np.inf), kind="stable")


def question(prompt: Prompt) -> str:
    """What the prompt asks: its last message of the user."""
    asked = [message["content"] for message in prompt.messages if message["role"] == "user"]
    return str(asked[-1] if asked else prompt.messages[-1]["content"])
