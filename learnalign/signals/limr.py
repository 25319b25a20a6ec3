"""LIMR: how closely a prompt's rewards over a training's epochs follow the average learning curve (Li et al., 2025).

s = 1 − Σ_k (r_k − r̄_k)² / Σ_k (1 − r̄_k)², with r_k the fraction of epoch k's rollouts that were correct and r̄_k its
mean over all prompts. Reads DIR/train/NAME/rewards.parquet (id, epoch, correct, scored), which `learnalign train`
writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.rundir.stages import digest_of
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Compute, Signal, SignalInputs, SignalRow


def alignment_scores(rewards: Float[np.ndarray, "prompts epochs"]) -> Float[np.ndarray, "prompts"]:
    """s of every prompt; NaN for prompts with a NaN reward, and for all if every reward is 1."""
    average = np.nanmean(rewards, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - ((rewards - average) ** 2).sum(axis=1) / ((1 - average) ** 2).sum()


def read_rewards(path: Path) -> tuple[list[str], Float[np.ndarray, "prompts epochs"]]:
    """Ids, and r_k of the epochs that saw every prompt of the training (leaves out an unfinished last epoch)."""
    table = read_parquet(path)
    ids, rows = np.unique(np.array(table["id"].to_pylist(), dtype=object).astype(str), return_inverse=True)
    epochs, columns = np.unique(table["epoch"].to_numpy(), return_inverse=True)
    correct, scored = np.zeros((len(ids), len(epochs))), np.zeros((len(ids), len(epochs)))
    seen = np.zeros((len(ids), len(epochs)), bool)
    np.add.at(correct, (rows, columns), table["correct"].to_numpy())
    np.add.at(scored, (rows, columns), table["scored"].to_numpy())
    seen[rows, columns] = True
    full = seen.all(axis=0)
    if not full.any():
        raise RunError(f"{path}: no epoch saw every prompt; train for at least one whole epoch on the pool")
    with np.errstate(invalid="ignore", divide="ignore"):
        return ids.tolist(), (correct / scored)[:, full]


def rewards_file(run: RunDir) -> Path:
    """rewards.parquet of `signal.train`, by default of the only training."""
    name = run.config.signal.train
    files = sorted((run.path / "train").glob(f"{name or '*'}/rewards.parquet"))
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(file.parent.name for file in files)
        raise InputError(f"several trainings recorded rewards ({names}); name one with --set signal.train=NAME")
    raise RunError(
        f"{run.path / 'train' / (name or '*')}/rewards.parquet does not exist: LIMR needs the rewards of a training on "
        f"the whole pool; run `learnalign train {run.quoted} --subset {run.config.data.path}` first"
    )


def make(inputs: SignalInputs) -> Compute:
    """Looks up prompts in the scores of one training."""
    ids, rewards = read_rewards(rewards_file(inputs.run))
    scores = dict(zip(ids, zip(alignment_scores(rewards), rewards, strict=True), strict=True))

    def rows(rendered: Sequence[RenderedPrompt]) -> list[SignalRow]:
        return [_row(*scores[one.prompt.id]) if one.prompt.id in scores else _UNSEEN for one in rendered]

    return rows


_UNSEEN: SignalRow = {"value": None, "skipped": "not in the training"}


def _row(value: float, rewards: Float[np.ndarray, "epochs"]) -> SignalRow:
    if np.isnan(value):
        return {"value": None, "skipped": "an epoch without a scored rollout", "rewards": rewards}
    return {"value": float(value), "rewards": rewards}


SIGNAL = Signal(
    name="limr",
    make=make,
    model=False,
    columns={"rewards": pa.list_(pa.float64())},
    answers=False,
    depends_on=lambda run: digest_of(rewards_file(run)),
)
