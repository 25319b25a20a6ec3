"""Angle concentration C = C_intra + c·C_inter (GAIN-RL, Eq. 7 and App. F.1), from its parts and `signal.angle_weight` c."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from learnalign.errors import InputError
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet

Parts = Sequence[float | None] | Float[np.ndarray, "n"]


def combine(c_intra: Parts, c_inter: Parts, c: float) -> Float[np.ndarray, "n"]:
    """C of every prompt; C_intra alone if a prompt has no first segment (C_inter None or NaN)."""
    intra, inter = (np.asarray(part, dtype=np.float64) for part in (c_intra, c_inter))
    return intra + c * np.where(np.isnan(inter), 0.0, inter)


def concentrations(run: RunDir) -> dict[str, float]:
    """Id → C of every prompt that has one, from the stored parts and the run's present c.

    Raises InputError naming the command if signals/angle.parquet does not exist.
    """
    file = run.signal_file("angle")
    if not file.is_file():
        raise InputError(f"{file} does not exist; make it with `learnalign signal {run.path} angle`")
    table = read_parquet(file, ["id", "c_intra", "c_inter"])
    intra, inter = (table[name].to_numpy() for name in ("c_intra", "c_inter"))
    values = combine(intra, inter, run.config.signal.angle_weight).tolist()
    return {id: value for id, value in zip(table["id"].to_pylist(), values, strict=True) if not math.isnan(value)}
