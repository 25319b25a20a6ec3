"""Angle concentration C = C_intra + c·C_inter (GAIN-RL, Eq. 7 and App. F.1), from its parts and `signal.angle_weight` c."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from learnalign.errors import InputError
from learnalign.policy import identify, other_than_policy
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.signals.table import stored_model

START = {name: f", train the other with --start {name}" for name in ("base", "policy")}
Parts = Sequence[float | None] | Float[np.ndarray, "n"]


def combine(c_intra: Parts, c_inter: Parts, c: float) -> Float[np.ndarray, "n"]:
    """C of every prompt; C_intra alone if a prompt has no first segment (C_inter None or NaN)."""
    intra, inter = (np.asarray(part, dtype=np.float64) for part in (c_intra, c_inter))
    return intra + c * np.where(np.isnan(inter), 0.0, inter)


def concentrations(run: RunDir, trained: str | None = None) -> dict[str, float]:
    """Id → C of every prompt that has one, from the stored parts and the run's present c.

    Args:
        trained: the model that is trained, base or policy; None: not known here.

    Raises InputError naming the command if signals/angle.parquet does not exist, or is of another model than `trained`.
    """
    file = run.signal_file("angle")
    model = identify(run, trained, "train.start") if trained else None
    of = "" if other_than_policy(run, model) is None else f" --policy {trained}"
    if not file.is_file():
        raise InputError(f"{file} does not exist; make it with `learnalign signal {run.quoted} angle{of}`")
    stored = stored_model(file)
    if model and other_than_policy(run, stored) != other_than_policy(run, model):
        name = stored.name if stored else "policy"
        raise InputError(
            f"{file}: stored the angles of {name}, but the model that is trained is {trained}, and GAIN-RL orders prompts "
            f"by the angles of the model that it trains; make them with `learnalign signal {run.quoted} angle --policy "
            f"{trained} --overwrite`{START.get(name, '')}, or choose a new run directory"
        )
    table = read_parquet(file, ["id", "c_intra", "c_inter"])
    intra, inter = (table[name].to_numpy() for name in ("c_intra", "c_inter"))
    values = combine(intra, inter, run.config.signal.angle_weight).tolist()
    return {id: value for id, value in zip(table["id"].to_pylist(), values, strict=True) if not math.isnan(value)}
