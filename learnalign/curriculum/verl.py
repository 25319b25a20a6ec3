"""GAIN-RL's and ADARFT's samplers for verl's curriculum interface, which verl 0.5 to 0.7.1 have and later ones dropped.

In verl's configuration, with a run directory that has signals/angle.parquet (for ADARFT: success.parquet, unless the
training file has a column of difficulties):

- data.dataloader_num_workers=0
- data.sampler.class_path=pkg://learnalign.curriculum.verl
- data.sampler.class_name=GainSampler or AdarftSampler
- +data.sampler.run_dir=DIR, +data.sampler.seed=0, and any key of train.gain (GainSampler) or train.adarft
  (AdarftSampler), such as +data.sampler.difficulty=extra_info.difficulty

Angles and success rates must be those of the model that verl trains (`learnalign signal DIR angle --policy base`), which
the samplers do not see and cannot check. The training file's rows must carry the pool's ids, as column `id` or in
`extra_info.id`, as those of `learnalign export DIR --to verl` do. verl keeps the model in other processes than the sampler,
so C of Eq. 9 is the stored C of the step's prompts, unless the batch has the current one (`non_tensor_batch["angle"]`). verl
calls `update` after it saves a step: a resumed run lacks the one update that followed its checkpoint. verl is imported when one
of the samplers is first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from learnalign.config import AdarftConfig
from learnalign.curriculum.adarft import Adarft, difficulties
from learnalign.curriculum.base import Curriculum
from learnalign.curriculum.gain import Gain, GaussianSampler, rank_by_angle
from learnalign.errors import InputError, one_line
from learnalign.rundir import RunDir
from learnalign.signals.concentration import concentrations

if TYPE_CHECKING:
    GainSampler: type
    AdarftSampler: type

GAIN_KEYS = ("sigma", "alpha", "beta", "gamma", "step_min")


class _Sampler:
    """Epochs of whole steps, each drawn when verl's data loader reaches it."""

    curriculum: Curriculum

    def __init__(self, data_source: Any, data_config: Any) -> None:
        settings = data_config.sampler
        if not settings.get("run_dir"):
            raise InputError("data.sampler.run_dir: name the run directory, +data.sampler.run_dir=DIR")
        self.count = int(data_config.get("gen_batch_size") or data_config.train_batch_size)
        self.size = len(data_source)
        self.ids = ids_of(data_source)
        self.table = _table_of(data_source)
        self.rows = {id: row for row, id in enumerate(self.ids)}
        self.steps, self.drawn = self.size // self.count, 0
        self.curriculum = self.make(RunDir.peek(settings.run_dir), settings, int(settings.get("seed", 0)))

    def make(self, run: RunDir, settings: Any, seed: int) -> Curriculum:
        """The curriculum over the rows of `self.ids`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        """Rows of the epoch; after a resume, the rest of it."""
        for _ in range(self.steps - self.drawn % self.steps):
            self.drawn += 1
            yield from self.curriculum.draw(self.count)

    def update(self, batch: Any) -> None:
        """Called after each step; `batch` is verl's DataProto, one row per rollout."""
        groups: dict[str, list[float]] = {}
        angles: dict[str, float] = {}
        current = batch.non_tensor_batch.get("angle")
        for i, (id, correct) in enumerate(zip(batch_ids(batch), batch_correct(batch), strict=True)):
            groups.setdefault(id, []).append(correct)
            if current is not None:
                angles[id] = float(current[i])
        rates = [float(np.mean(group)) for group in groups.values()]
        self.curriculum.update([self.rows[id] for id in groups], rates, angles)

    def state_dict(self) -> dict[str, Any]:
        """Saved by verl's data loader with every checkpoint."""
        return {"drawn": self.drawn, "curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]
        self.curriculum.load_state_dict(state["curriculum"])


class _Gain(_Sampler):
    def make(self, run: RunDir, settings: Any, seed: int) -> Gain:
        given: dict[str, Any] = {key: float(settings[key]) for key in GAIN_KEYS if settings.get(key) is not None}
        stored = concentrations(run)

        def measure(rows: Sequence[int], current: dict[str, float]) -> list[float]:
            return [current.get(self.ids[row], stored[self.ids[row]]) for row in rows]

        sampler = GaussianSampler(self.size, self.count, seed, option="+data.sampler.", **given)
        return Gain(rank_by_angle(run, self.ids), sampler, measure)


class _Adarft(_Sampler):
    def make(self, run: RunDir, settings: Any, seed: int) -> Adarft:
        given = {key: settings[key] for key in AdarftConfig.model_fields if settings.get(key) is not None}
        try:
            own = AdarftConfig.model_validate(given)
        except ValidationError as error:
            raise InputError(f"data.sampler: {one_line(error)}") from None
        return Adarft(difficulties(run, own, self.ids, enumerate(self.table)), seed, own)


def ids_of(data_source: Any) -> list[str]:
    """The pool's ids of a verl data set's rows, from column `id` or `extra_info.id`."""
    frame = _table_of(data_source)
    columns = frame.column_names
    if "id" in columns:
        return [str(id) for id in frame["id"]]
    infos = list(frame["extra_info"]) if "extra_info" in columns else []
    if not infos or not all(isinstance(info, dict) and info.get("id") is not None for info in infos):
        raise InputError("the training file's rows carry no ids of the pool: neither `id` nor `extra_info.id`")
    return [str(info["id"]) for info in infos]


def _table_of(data_source: Any) -> Any:
    """The rows of a verl data set: in its RLHFDataset, a `datasets` table."""
    return getattr(data_source, "dataframe", data_source)


def batch_ids(batch: Any) -> list[str]:
    """The pool's id of every rollout of a DataProto."""
    columns = batch.non_tensor_batch
    if "id" in columns:
        return [str(id) for id in columns["id"]]
    return [str(info["id"]) for info in columns["extra_info"]]


def batch_correct(batch: Any) -> list[float]:
    """1.0 for every correct rollout, by the reward function's `acc` if it has one, else by a score of 1 or more."""
    if "acc" in batch.non_tensor_batch:
        return [float(bool(value)) for value in batch.non_tensor_batch["acc"]]
    scores = batch.batch["token_level_scores"].sum(-1)
    return [float(score >= 1) for score in scores.tolist()]


def __getattr__(name: str) -> Any:
    """`GainSampler` and `AdarftSampler` as subclasses of verl's AbstractCurriculumSampler, which verl requires."""
    parts = {"GainSampler": _Gain, "AdarftSampler": _Adarft}
    if name not in parts:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from verl.experimental.dataset.sampler import AbstractCurriculumSampler
    except ImportError as error:
        raise InputError(f"{name} is for training with verl, which is not installed ({error})") from None
    return type(name, (parts[name], AbstractCurriculumSampler), {"__doc__": parts[name].__doc__})
