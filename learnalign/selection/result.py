"""What select reports: the number of chosen prompts, and why each other prompt was skipped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from learnalign.config import words_of
from learnalign.errors import RunError, counted
from learnalign.handoff.writing import uniform_rows
from learnalign.policy import is_adapter, policy_path
from learnalign.rundir.files import read_parquet
from learnalign.rundir.tables import as_dataset
from learnalign.scored import beside
from learnalign.selection.columns import Share
from learnalign.selection.methods.method import Method, Scores
from learnalign.selection.pool import Pool, SuccessColumns
from learnalign.selection.ranking import Ranking
from learnalign.selection.stability import Stability

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame


@dataclass(frozen=True, kw_only=True)
class SelectResult:
    """Of `prompts` in the pool, `eligible` could be chosen and `chosen` were; `skipped` counts the others by reason.

    `size` is the N requested; `way` is how row means were computed (matrix, centroid or exact), None for methods without
    them; `stability` is how much of the choice survives other draws of p; `notes` are sentences for the user;
    `shares` says what the choice is made of, by columns of the data.
    """

    method: str
    subset: Path
    scores: Path
    size: int
    prompts: int
    eligible: int
    chosen: int
    skipped: dict[str, int]
    way: str | None
    stability: Stability | None
    notes: list[str]
    shares: list[Share]

    @property
    def ids(self) -> list[str]:
        """The chosen prompts' ids, best first."""
        return [str(id) for id in self._chosen()["id"].to_pylist()]

    def to_dataset(self) -> Dataset:
        """The chosen prompts, best first: id, prompt (messages as scored), answer, what they were chosen by, and your own columns.

        A column of yours whose name is taken is called source_NAME, one of mixed kinds holds JSON texts. Raises RunError if
        scores or prompts are missing or damaged.
        """
        scores, prompts = self._chosen(), read_parquet(self.scores.parents[1] / "prompts.parquet")
        prompts = prompts.take(pc.index_in(scores["id"], prompts["id"]))
        table = scores.add_column(1, "prompt", prompts["messages"]).add_column(2, "answer", prompts["answer"])
        own = [json.loads(source) for source in prompts["source"].to_pylist()]
        taken = set(table.column_names)
        merged = beside(table.to_pylist(), own)
        rows = uniform_rows([{name: row[name] for name in row if name not in taken} for row in merged])
        for name in rows[0] if rows else ():
            table = table.append_column(name, pa.array([row[name] for row in rows]))
        return as_dataset([table])

    def to_pandas(self) -> DataFrame:
        """`to_dataset` as a pandas frame."""
        return self.to_dataset().to_pandas()

    def _chosen(self) -> pa.Table:
        table = read_parquet(self.scores)
        return table.filter(table["selected"]).sort_by("rank").drop_columns(["selected", "skipped"])


def check_learnable(pool: Pool) -> None:
    """Raise RunError if V = 0 for every prompt, with the distribution of p and the ways out."""
    if (pool.success.learnability > 0).any():
        return
    raise RunError(
        f"nothing to learn from: V = p(1 − p) is 0 for all of {counted(len(pool), 'prompt')} ({describe_rates(pool.success)}). "
        "Ways out: easier prompts if none is solved, harder ones if all are; more rollouts "
        "(rollout.num_generations) or a higher rollout.temperature; a longer warmup; worked examples (data.few_shot) or a "
        "system prompt (data.system_prompt) that asks for the answer format of verifier "
        f"{pool.run.config.verifier}; see `learnalign show {pool.run.quoted}`"
    )


def describe_rates(success: SuccessColumns) -> str:
    """The distribution of p in words."""
    return ", ".join(f"{members.sum()} {kind}" for kind, members in _kinds(success.rate).items())


def _kinds(rate: Float[np.ndarray, "n"]) -> dict[str, Bool[np.ndarray, "n"]]:
    """The prompts of each kind of p."""
    never, always, unknown = rate == 0, rate == 1, np.isnan(rate)
    some = ~(never | always | unknown)
    return {"never solved": never, "sometimes": some, "always solved": always, "not scored": unknown}


def skip_reasons(pool: Pool, method: Method, scores: Scores) -> pa.StringArray:
    """Why each prompt cannot be chosen (success rate, failed gradient, no signal, score); null if it can."""
    incomplete = np.isnan(scores.score) | (np.isnan(scores.alignment) if scores.alignment is not None else False)
    reasons = np.full(len(pool), "no positive score", object)
    reasons[method.eligible(scores.score)] = None
    reasons[incomplete] = "no gradient" if method.reads == "grad" else "no signal"
    failed = {line["id"]: line["reason"] for line in pool.run.quarantined() if line["stage"] == "grad"}
    if method.reads == "grad":
        failed |= dict.fromkeys(pool.run.cut_ids(), "cut by grad.cascade")
    if failed:
        for place in np.flatnonzero(incomplete).tolist():
            reasons[place] = failed.get(pool.ids[place], reasons[place])
    if method.learnable:
        for kind, members in _kinds(pool.success.rate).items():
            if kind != "sometimes":
                reasons[members] = kind
    return pa.array(reasons, pa.string())


def count_reasons(reasons: pa.StringArray) -> dict[str, int]:
    """How many prompts were skipped for each reason, most frequent first."""
    counts = pc.value_counts(reasons.drop_null()).to_pylist()
    return dict(Counter({each["values"]: each["counts"] for each in counts}).most_common())


def inputs_notes(pool: Pool, method: Method) -> list[str]:
    """Sentences for the user if the method's signal is of another model, or its gradients leave parameters of the policy out."""
    notes, modules = [], pool.run.config.grad.modules
    if method.signal and (model := pool.signal_model(method.signal)) != "policy":
        notes.append(f"the signal {method.signal} is that of {model}")
    words = words_of(modules)
    whole = "all" in words or (
        "linear" in words and is_adapter(policy_path(pool.run))
    )  # an adapter has linear layers only
    if method.reads == "grad" and not whole:
        notes.append(f"gradients of a part of the parameters (grad.modules: {modules}); all is the paper's gradient")
    if method.reads == "grad" and (note := pool.run.cascade_note()):
        notes.append(note)
    return notes


def notes_of(ranking: Ranking) -> list[str]:
    """Sentences for the user if fewer prompts were eligible than requested."""
    eligible, chosen, kind = int(ranking.eligible.sum()), len(ranking.chosen), ranking.method.eligibility
    if eligible >= ranking.size:
        return []
    if chosen > eligible:
        return [
            f"only {counted(eligible, 'prompt has', 'prompts have')} {kind}; {counted(chosen - eligible, 'more was', 'more were')} "
            "taken from the rest of the ranking"
        ]
    return [
        f"only {counted(eligible, 'prompt has', 'prompts have')} {kind}, fewer than {ranking.size}; --fill continues down the ranking"
    ]
