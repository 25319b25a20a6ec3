"""Stage 4: rank the pool by a method and write its top N (LearnAlign §4.4, step 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from learnalign.columns import shaped_by
from learnalign.errors import InputError, RunError
from learnalign.handoff import find_format
from learnalign.handoff.exporting import chosen_ids
from learnalign.handoff.handing import Handed, check_handed, chosen_of
from learnalign.rundir import Label, RunDir, StageRecord, label_of, this_moment
from learnalign.rundir.files import is_intact, write_parquet
from learnalign.selection.clusters import clusters_of, parse_diversity
from learnalign.selection.columns import count_shares
from learnalign.selection.finished import choice_settings
from learnalign.selection.methods import Method, find_method
from learnalign.selection.pool import Pool
from learnalign.selection.ranking import Ranking, choose, rank, size_of
from learnalign.selection.result import (
    SelectResult,
    check_learnable,
    count_reasons,
    inputs_notes,
    notes_of,
    skip_reasons,
)
from learnalign.selection.scores import Scoring, Way, find_way
from learnalign.selection.stability import Stability, measure_stability
from learnalign.selection.table import scores_table

STAGE = "select"


def select(
    run: RunDir,
    size: int | float | None = None,
    method: str | None = None,
    *,
    format: str | None = None,
    scoring: Way | None = None,
    fill: bool = False,
    diversity: str | None = None,
    seed: int | None = None,
    save_matrix: bool = False,
    save_nystrom: int | None = None,
    output: Path | None = None,
    pool: Pool | None = None,
) -> SelectResult:
    """Write scores/LABEL.parquet and the subset file: the top `size` prompts by the method's score, best first.

    LABEL is the method's name, with -kmeansK after it for K clusters, and -seedS for another seed than the run's.
    subset.json beside the subset says what it was chosen by.

    Args:
        size: prompts to choose, or a fraction of the pool in (0, 1).
        method, format, scoring: as in the config section `select`, whose values replace None here and for `size`.
        fill: continues down the ranking if too few prompts have a positive score.
        diversity: `kmeans:K` takes the best of each of K clusters of the `features` signal (App. H).
        seed: of a choice that draws; None: `select.seed`, or else the run's.
        save_matrix: also writes S [n, n] to scores/matrix.safetensors.
        save_nystrom: also writes `factor` [n, r] with S ≈ factor factorᵀ by this many landmarks to scores/nystrom.safetensors.
        output: a second place for the subset file, as `-o` takes it (see `outputs`).
        pool: the pool of `run`, if it is loaded already.

    Raises InputError for wrong arguments and for inputs made with other settings; RunError for missing inputs (naming
    the command that makes them), and if there is nothing to learn from.
    """
    started = this_moment()
    settings = run.config.select
    rule, format = find_method(method or settings.method), format or settings.format
    find_format(format)
    if output is not None:
        check_handed(output, format, run)
    label = label_of(run.config, rule.name, parse_diversity(diversity), seed)
    way = find_way(scoring or settings.scoring)
    if save_nystrom is not None and save_nystrom < 1:
        raise InputError(f"save_nystrom {save_nystrom}: give the number of landmarks, at least 1, such as 512")
    save_to = _matrix_file(run, rule, "matrix") if save_matrix else None
    factor_to = _matrix_file(run, rule, "nystrom") if save_nystrom else None
    pool = Pool(run) if pool is None else pool
    count = size_of(settings.size if size is None else size, len(pool))
    # Before the stage begins: if an input is missing, that of an earlier method stays done.
    how = Scoring(way, save_to, label.seed_in(run.config), save_nystrom or 0, factor_to)
    ranking = _rank(pool, rule, label, count, how, fill)
    stability, kept = measure_stability(pool, ranking)
    with run.stage(STAGE, started) as record:
        result = _result(pool, ranking, stability)
        if error := ranking.scores.error:
            result.notes.append(
                f"scores/nystrom.safetensors: S ≈ factor · factorᵀ {error.describe()}; the scores are exact"
            )
        options = {"size": count, "format": format, "fill": fill, "diversity": diversity}
        made_of = {"size": settings.size if size is None else size, "settings": choice_settings(run.config)}
        entry = _entry(result, options, {**made_of, "success": pool.success_digest, "signal": rule.signal})
        subset = chosen_of(run, pool.prompts.take(ranking.chosen.tolist()), str(result.subset))
        handed = Handed(run=run, label=result.method, entry=entry, name=format, chosen=subset)
        if older := _older_exports(run, result, [prompt.id for prompt in subset.prompts]):
            result.notes.append(older)
        if format == "source" and (lost := shaped_by(run.config.data)):
            result.notes.append(
                f"the rows are those of the input, without {', '.join(lost)}, with which they were scored (format source, the default "
                "of earlier versions); --set select.format=messages writes prompts and golds as they were scored"
            )
        if line := find_format(format).template_line(run.config.data.chat_template_kwargs):
            result.notes.append(line)
        if handed.beside(result.subset):
            result.notes.append(
                f"`learnalign export {run.quoted} --to {format}` also writes what {format} needs beside the file"
            )
        handed.write(result.subset)
        if output is not None:
            handed.write_output(output)
        # Last, since scores that are there tell `compare` that the method is done.
        write_parquet(
            result.scores, scores_table(pool, ranking, kept), rule.fingerprint(pool, label.seed_in(run.config))
        )
        ways = ((save_to, {"save-matrix": True}), (factor_to, {"save-nystrom": save_nystrom}))
        _add_to_record(run, result, record, entry, {path.name: options for path, options in ways if path})
    return result


def _older_exports(run: RunDir, result: SelectResult, ids: Sequence[str]) -> str:
    """A sentence on the files of DIR/export that hold other prompts than the new subset of the same method."""
    exports = run.read_record().get("exports", {}).items()
    older = {o["to"]: file for file, o in exports if o["method"] == result.method and (run.path / file).is_file()}
    if not older or not is_intact(result.scores) or chosen_ids(run, result.method) == ids:
        return ""
    files = ", ".join(str(run.directory / file) for file in older.values())
    by = "" if result.method == run.own_label else f" --method {result.method}"
    command = f"learnalign export {run.quoted}{by} --to"
    if len(older) == 1:
        return f"{files} is of the earlier subset; `{command} {next(iter(older))}` makes it again"
    return f"{files} are of the earlier subset; `{command} NAME` makes each again (NAME: {', '.join(older)})"


def _entry(result: SelectResult, options: dict[str, Any], made_of: dict[str, Any]) -> dict[str, Any]:
    """What run.json keeps of the method: its counts, and the options that make the subset again."""
    counts = {"prompts": result.prompts, "eligible": result.eligible, "chosen": result.chosen}
    entry: dict[str, Any] = {**counts, "size": result.size, "way": result.way, "skipped": result.skipped}
    entry["options"] = {"method": Label.parse(result.method).method, **options}
    entry["made_of"] = made_of
    entry |= {"notes": result.notes, "shares": [asdict(share) for share in result.shares]}
    entry["stability"] = asdict(result.stability) if result.stability else None
    return entry


def _add_to_record(
    run: RunDir, result: SelectResult, record: StageRecord, entry: dict[str, Any], saved: Mapping[str, dict[str, Any]]
) -> None:
    """Keep every method's counts; the stage's own are those of the choice by the settings once it is made.

    Of the files `saved` beside the scores: the method, and the options of `select` that make them again.
    """
    stored = run.read_record()["stages"][STAGE]
    methods = {**stored.get("methods", {}), result.method: entry}
    record.notes["methods"] = methods
    record.notes["saved"] = stored.get("saved", {}) | {name: (result.method, more) for name, more in saved.items()}
    counts = methods.get(run.own_label, entry)
    record.counts |= {name: counts[name] for name in ("prompts", "eligible", "chosen")}


def _matrix_file(run: RunDir, method: Method, name: str) -> Path:
    if not method.has_matrix(run.config):
        raise InputError(
            f"method {method.name} has no score matrix to save; use learnalign with a grad.projection other than exact"
        )
    return run.path / "scores" / f"{name}.safetensors"


def _rank(pool: Pool, method: Method, label: Label, size: int, scoring: Scoring, fill: bool) -> Ranking:
    if method.learnable:
        check_learnable(pool)
    clusters = clusters_of(pool, label.clusters, scoring.seed) if label.clusters else None
    scores = method.score(pool, scoring)
    order = rank(scores.score, pool.id_column)
    eligible = method.eligible(scores.score)
    reasons = skip_reasons(pool, method, scores)
    if not eligible.any():
        listed = ", ".join(f"{count} {reason}" for reason, count in count_reasons(reasons).items())
        raise RunError(
            f"nothing to choose: no prompt has {method.eligibility} by method {method.name} "
            f"({listed or 'none is positive'}); choose another method; `learnalign status {pool.run.quoted}` shows which "
            "prompts were left out and why"
        )
    return Ranking(
        method=method,
        label=str(label),
        size=size,
        scores=scores,
        order=order,
        eligible=eligible,
        chosen=choose(order, eligible, size, clusters, fill),
        clusters=clusters,
        reasons=reasons,
    )


def _result(pool: Pool, ranking: Ranking, stability: Stability | None) -> SelectResult:
    run, eligible, chosen = pool.run, int(ranking.eligible.sum()), len(ranking.chosen)
    taken = np.zeros(len(pool), bool)
    taken[ranking.chosen] = True
    notes = [*inputs_notes(pool, ranking.method), *notes_of(ranking)]
    notes += [stability.describe(min(eligible, chosen))] if stability else []
    return SelectResult(
        method=ranking.label,
        subset=run.subset_file(ranking.label),
        scores=run.scores_file(ranking.label),
        size=ranking.size,
        prompts=len(ranking.order),
        eligible=eligible,
        chosen=chosen,
        skipped=count_reasons(ranking.reasons),
        way=ranking.scores.way,
        stability=stability,
        notes=notes,
        shares=count_shares(run.config.data, pool.prompts, ranking.eligible, taken),
    )
