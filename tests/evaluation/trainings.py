"""Finished trainings made by hand: directories of models where `train` puts its policies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from learnalign.policy import model_path
from learnalign.rundir import RunDir
from learnalign.rundir.stages import digest_of
from learnalign.training.train_stage import sub_config


def write_training(run: RunDir, name: str, policies: Mapping[int, Path], *, done: bool = True) -> RunDir:
    """DIR/train/`name` with models as its policies by step; the last one is policy/ if the training is `done`."""
    sub = RunDir.create(run.path / "train" / name, sub_config(run.config, run.config.data.path))
    last = max(policies) if done else None
    for step, model in policies.items():
        shutil.copytree(model, sub.path / ("policy" if step == last else f"policies/step-{step:06d}"))
    if done:
        with sub.stage("train") as record:
            record.counts |= {"steps": max(policies)}
            record.notes |= {"start_digest": digest_of(Path(model_path(run.config)))}
    return sub
