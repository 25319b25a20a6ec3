"""`model.dtype: auto` on a CPU: the checkpoint's precision only if the CPU computes in it, and one run keeps what it began with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from learnalign.config import Config
from learnalign.policy import load_model, load_policy, loading, precision, settled
from learnalign.policy.precision import faster_on_cpu
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from tests.tiny import make_config


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A bfloat16 checkpoint, on a CPU that only emulates it."""
    config = make_config(tmp_path, warmup={"size": 0})
    model = load_model(config).to(torch.bfloat16)
    model.save_pretrained(config.model.name)
    monkeypatch.setattr(loading, "device", lambda: torch.device("cpu"))
    _emulate(monkeypatch)
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": "auto"})})


def _emulate(monkeypatch: pytest.MonkeyPatch, emulated: bool = True) -> None:
    monkeypatch.setattr(loading, "faster_on_cpu", lambda own: "float32" if emulated else own)


def test_a_cpu_with_instructions_for_it_takes_the_checkpoint_s_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        assert faster_on_cpu("bfloat16") == ("bfloat16" if has else "float32")
    assert faster_on_cpu("float32") == "float32"


def test_every_loader_and_engine_takes_the_faster_and_the_first_stage_says_it(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_model(config).dtype == torch.float32
    run = RunDir.create(tmp_path / "run", config)
    load_prompts(run)
    assert "model.dtype: auto takes float32, as this CPU only emulates bfloat16" in capsys.readouterr().err
    assert run.read_record()["dtype"] == "float32"
    assert run.config.model.dtype == "auto"
    _emulate(monkeypatch, emulated=False)  # resumed on another CPU
    assert load_model(config).dtype == torch.bfloat16
    assert load_policy(run).dtype == torch.float32
    assert settled(run).model.dtype == "float32"
    assert precision(settled(run), config.model.name) == "float32"
    assert capsys.readouterr().err == ""


def test_a_precision_that_is_given_is_taken(config: Config) -> None:
    given = config.model_copy(update={"model": config.model.model_copy(update={"dtype": "bfloat16"})})
    assert load_model(given).dtype == torch.bfloat16


def test_a_run_of_an_earlier_version_keeps_the_checkpoint_s(config: Config, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", config)
    with run.stage("pool"), run.stage("warmup") as record:
        record.counts["prompts"] = 0
    assert settled(run).model.dtype == "bfloat16"


def test_on_a_gpu_auto_stays_the_checkpoint_s(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "device", lambda: torch.device("cuda"))
    run = RunDir.create(tmp_path / "run", config)
    assert settled(run) == config
    assert precision(config, config.model.name) == "bfloat16"
    assert "dtype" not in run.read_record()
