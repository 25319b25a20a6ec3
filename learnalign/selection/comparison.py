"""`compare`: what each method would choose, side by side at the same N."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from learnalign.errors import DiskError, LearnAlignError, RunError
from learnalign.handoff.about import about_file
from learnalign.rundir import Label, RunDir, label_of
from learnalign.rundir.files import fingerprint_of, is_intact, read_parquet
from learnalign.selection.methods import METHODS, Method, find_method
from learnalign.selection.overlap import jaccard, share, spearman
from learnalign.selection.pool import Pool
from learnalign.selection.ranking import choose, size_of
from learnalign.selection.stage import STAGE, select
from learnalign.selection.table import SIZE


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Means over some prompts: success rate, learnability, tokens of prompt and rollouts; shares by difficulty."""

    prompts: int
    success_rate: float | None
    learnability: float | None
    prompt_tokens: float | None
    answer_tokens: float | None
    difficulty: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every method's subset of at most `size` prompts, and the whole `pool`; matrices are by method names.

    `share[a][b]` is the part of a's subset that b chose too. `missing` names the input that each other method lacks.
    """

    size: int
    pool: Subset
    subsets: dict[str, Subset]
    jaccard: dict[str, dict[str, float]]
    share: dict[str, dict[str, float]]
    rank_correlation: dict[str, dict[str, float | None]]
    missing: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(run: RunDir, size: int | float | None = None) -> Comparison:
    """Compare all methods whose inputs exist, those of earlier `select --diversity` and `--seed` included.

    Methods without up-to-date scores are scored first, as by `select`. `size` is a number or fraction of prompts; by
    default that of the last selection by `select.method`, else `select.size`. Raises RunError if no method can score.
    """
    pool = Pool(run)
    count = size_of(size if size is not None else _last_size(run), len(pool))
    scores, chosen = {}, {}
    missing: dict[str, str] = {}
    for label in _labels(run):
        try:
            scores[label], chosen[label] = _score_and_choose(pool, label, count)
        except DiskError:
            raise
        except LearnAlignError as error:
            missing[label] = str(error)
    if not scores:
        raise RunError(f"no method can score {run.path}: {next(iter(missing.values()))}")
    describe = _describer(pool)
    return Comparison(
        size=count,
        pool=describe(np.ones(len(pool), bool)),
        subsets={label: describe(subset) for label, subset in chosen.items()},
        jaccard={a: {b: jaccard(chosen[a], chosen[b]) for b in chosen} for a in chosen},
        share={a: {b: share(chosen[a], chosen[b]) for b in chosen} for a in chosen},
        rank_correlation={a: {b: spearman(scores[a], scores[b]) for b in scores} for a in scores},
        missing=missing,
    )


def _last_size(run: RunDir) -> int | float:
    path = run.scores_file(run.own_label)
    metadata = (read_parquet(path, ["id"]).schema.metadata or {}) if path.is_file() else {}
    return int(metadata[SIZE]) if SIZE in metadata else run.config.select.size


def _labels(run: RunDir) -> list[str]:
    """Every method by the settings, then earlier selections with --diversity or another seed."""
    stored = sorted(path.stem for path in (run.path / "scores").glob("*.parquet"))
    methods = [str(label_of(run.config, method)) for method in METHODS]
    return list(dict.fromkeys([*methods, *(label for label in stored if Label.parse(label).method in METHODS)]))


def _score_and_choose(pool: Pool, label: str, size: int) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """A method's scores and choice of `size`; scores it first if its file is missing or out of date."""
    own, path, subset = Label.parse(label), pool.run.scores_file(label), pool.run.subset_file(label)
    method = find_method(own.method)
    done = pool.run.read_record()["stages"].get(STAGE, {}).get("methods", {})
    if (
        label not in done
        or not is_intact(subset)
        or not is_intact(about_file(subset))
        or fingerprint_of(path) != method.fingerprint(pool, own.seed_in(pool.run.config))
    ):
        select(pool.run, size, **own.options_in(pool.run.config), pool=pool)
    table = read_parquet(path, ["score", "rank", "cluster"])
    chosen = np.zeros(len(pool), bool)
    chosen[_choose(table, method, size)] = True
    return table["score"].to_numpy(), chosen


def _choose(table: pa.Table, method: Method, size: int) -> np.ndarray:
    score, cluster = table["score"].to_numpy(), table["cluster"]
    clusters = cluster.to_numpy() if cluster.null_count == 0 else None
    return choose(np.argsort(table["rank"].to_numpy()), method.eligible(score), size, clusters)


def _describer(pool: Pool) -> Callable[[Bool[np.ndarray, "n"]], Subset]:
    success, lengths = pool.known_success, _token_lengths(pool)

    def describe(subset: Bool[np.ndarray, "n"]) -> Subset:
        return Subset(
            prompts=int(subset.sum()),
            success_rate=_mean(success.rate[subset]) if success else None,
            learnability=_mean(success.learnability[subset]) if success else None,
            prompt_tokens=_mean(lengths[0][subset]),
            answer_tokens=_mean(lengths[1][subset]),
            difficulty=_difficulty(success.rate[subset]) if success else {},
        )

    return describe


def _difficulty(rate: Float[np.ndarray, "chosen"]) -> dict[str, float]:
    """Shares of prompts by success rate: 0, below 1/2, from 1/2 on, 1."""
    bins = {
        "never solved": rate == 0,
        "hard": (rate > 0) & (rate < 0.5),
        "easy": (rate >= 0.5) & (rate < 1),
        "always solved": rate == 1,
    }
    return {name: float(members.mean()) if len(rate) else 0.0 for name, members in bins.items()}


def _mean(values: Float[np.ndarray, "chosen"]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _token_lengths(pool: Pool) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Tokens of every prompt, and the mean over its rollouts; NaN for prompts without rollouts."""
    run = pool.run
    lengths = np.full((2, len(pool)), np.nan)
    if not run.is_finished("rollout"):
        return lengths[0], lengths[1]
    for shard in run.shards():
        table = read_parquet(run.rollouts_file(shard), ["id", "prompt_ids", "completion_ids"])
        counted = pa.table(
            {
                "id": table["id"],
                **{name: pc.list_value_length(table[name]) for name in ("prompt_ids", "completion_ids")},
            }
        )
        means = counted.group_by("id").aggregate([("prompt_ids", "mean"), ("completion_ids", "mean")])
        places = pool.places(means["id"].to_pylist(), run.rollouts_file(shard))
        lengths[:, places] = means["prompt_ids_mean"].to_numpy(), means["completion_ids_mean"].to_numpy()
    return lengths[0], lengths[1]
