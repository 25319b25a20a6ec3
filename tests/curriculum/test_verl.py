"""The samplers that verl loads, with stand-ins for verl's base class, data set and batch."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from learnalign.curriculum import verl
from learnalign.errors import InputError
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from tests.tiny import make_run

IDS = [f"q{i}" for i in range(8)]


class Settings(dict):  # type: ignore[type-arg]
    """A dict with attributes, as an OmegaConf node."""

    __getattr__ = dict.__getitem__


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> type:
    """verl.experimental.dataset.sampler with its abstract class."""
    names = ["verl", "verl.experimental", "verl.experimental.dataset", "verl.experimental.dataset.sampler"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    abstract = type("AbstractCurriculumSampler", (torch.utils.data.Sampler,), {})
    sys.modules[names[-1]].AbstractCurriculumSampler = abstract  # type: ignore[attr-defined]
    return abstract


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run whose prompts have descending angles in the order of IDS, and rising difficulty."""
    run = make_run(tmp_path)
    angles = pa.table({"id": IDS, "c_intra": [0.8 - 0.1 * i for i in range(8)], "c_inter": [0.0] * 8})
    write_parquet(run.signal_file("angle"), angles, "f")
    write_success(run, [success_of(id, 8, 8, 8 - i) for i, id in enumerate(IDS)])
    return run


def test_adarft_takes_its_settings_and_a_column_of_the_training_file(run: RunDir) -> None:
    rows = [{"prompt": "?", "extra_info": {"id": id, "hard": 10 - i}} for i, id in enumerate(IDS)]
    settings = {"difficulty": "extra_info.hard", "lowest": 0, "highest": 10, "step_size": 4.0, "start": 3}
    run.success_file.unlink()
    sampler = verl.AdarftSampler(data_source=Dataset.from_list(rows), data_config=_config(run, **settings))
    assert sorted(list(sampler)[:2]) == [6, 7]
    sampler.update(_batch(["q7", "q6"], [1.0, 1.0]))
    assert sampler.curriculum.target == pytest.approx(3 + 4 * math.tanh(1))
    with pytest.raises(InputError, match=r"data\.sampler: .*step_size"):
        verl.AdarftSampler(data_source=Dataset.from_list(rows), data_config=_config(run, step_size=-1))


def _config(run: RunDir, **more: Any) -> Settings:
    return Settings(train_batch_size=2, sampler=Settings(run_dir=str(run.path), seed=3, **more))


def _data() -> Any:
    rows = [{"prompt": "?", "extra_info": {"id": id, "index": i}} for i, id in enumerate(IDS)]
    return Dataset.from_list(rows)


def _batch(ids: list[str], scores: list[float], **columns: Any) -> Any:
    info = np.array([{"id": id} for id in ids], dtype=object)
    tokens = torch.zeros(len(ids), 3)
    tokens[:, 2] = torch.tensor(scores)
    return types.SimpleNamespace(non_tensor_batch={"extra_info": info, **columns}, batch={"token_level_scores": tokens})


def test_samplers_are_subclasses_of_verl_s_base_class(run: RunDir, base: type) -> None:
    for name in ("GainSampler", "AdarftSampler"):
        sampler: Any = getattr(verl, name)(data_source=_data(), data_config=_config(run))
        assert len(sampler) == 8
        assert isinstance(sampler, base)
        assert sampler.__class__.__name__ == name


def test_each_step_is_drawn_when_the_loader_reaches_it(run: RunDir) -> None:
    sampler = verl.GainSampler(data_source=_data(), data_config=_config(run, sigma=0.5))
    steps = iter(sampler)
    first = [next(steps), next(steps)]
    assert sorted(first) == [0, 1]
    sampler.curriculum.sampler.mu = 7.5
    assert sorted([next(steps), next(steps)]) == [6, 7]
    assert len(list(steps)) == 4


def test_gain_is_updated_with_accuracy_and_the_stored_angles(run: RunDir) -> None:
    sampler = verl.GainSampler(data_source=_data(), data_config=_config(run))
    ids = ["q0", "q0", "q3", "q3"]
    sampler.update(_batch(ids, [1.0, -1.0, 1.0, 1.0]))
    concentration = (0.8 + 0.5) / 2
    assert sampler.curriculum.sampler.mu == pytest.approx(math.tanh(2 * 0.25) + math.tanh(0.5 * concentration))


def test_gain_prefers_the_batch_s_own_accuracy_and_angles(run: RunDir) -> None:
    sampler = verl.GainSampler(data_source=_data(), data_config=_config(run))
    acc, angle = np.array([True, False]), np.array([0.2, 0.4])
    sampler.update(_batch(["q1", "q2"], [5.0, 5.0], acc=acc, angle=angle))
    assert sampler.curriculum.sampler.mu == pytest.approx(math.tanh(0.0) + math.tanh(0.5 * 0.3))


def test_a_mu_that_leaves_is_reported_with_verl_s_own_setting(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    free, held = (
        verl.GainSampler(data_source=_data(), data_config=_config(run, **given)) for given in ({}, {"step_min": 0})
    )
    for sampler in (free, held):
        for _ in range(30):
            sampler.update(_batch(["q0", "q1"], [0.0, 0.0], angle=np.array([0.1, 0.1])))
    (line,) = capsys.readouterr().err.splitlines()
    assert "+data.sampler.step_min=0" in line
    assert free.curriculum.sampler.mu == pytest.approx(30 * (math.tanh(-1.0) + math.tanh(0.05)))
    assert held.curriculum.sampler.mu == 0


def test_adarft_takes_the_prompts_nearest_to_its_target(run: RunDir) -> None:
    sampler = verl.AdarftSampler(data_source=_data(), data_config=_config(run))
    assert sorted(list(sampler)[:2]) == [0, 1]
    sampler.update(_batch(["q0", "q1"], [1.0, 1.0]))
    assert sampler.curriculum.target == pytest.approx(50 * math.tanh(1))


def test_a_restored_sampler_continues_the_epoch(run: RunDir) -> None:
    one, other = (verl.GainSampler(data_source=_data(), data_config=_config(run)) for _ in range(2))
    steps = iter(one)
    for _ in range(2):
        next(steps)
    one.update(_batch(["q0"], [1.0]))
    other.load_state_dict(one.state_dict())
    rest = list(other)
    assert len(rest) == 6  # three of the epoch's four steps
    assert rest == list(steps)
    assert len(list(other)) == 8


def test_rows_without_ids_and_a_missing_run_directory_are_refused(run: RunDir) -> None:
    with pytest.raises(InputError, match="carry no ids"):
        verl.GainSampler(data_source=Dataset.from_list([{"prompt": "?"}] * 8), data_config=_config(run))
    with pytest.raises(InputError, match=r"sampler\.run_dir"):
        verl.GainSampler(data_source=_data(), data_config=Settings(train_batch_size=2, sampler=Settings()))


def test_without_verl_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "verl.experimental.dataset.sampler", None)
    with pytest.raises(InputError, match="verl, which is not installed"):
        verl.GainSampler  # noqa: B018
