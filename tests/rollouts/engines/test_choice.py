"""The choice of an engine: by the config's name, with what is installed, and without a heavy import."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from learnalign.errors import InputError
from learnalign.names import ENGINES
from learnalign.rollouts.engines import choice
from learnalign.rollouts.engines.choice import engine_name
from tests.tiny import make_config


def test_auto_is_transformers_if_vllm_is_missing_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = choice.importlib.util.find_spec
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None if name == "vllm" else find(name))
    config = make_config(tmp_path, rollout={"engine": "auto"})
    assert engine_name(config) == "transformers"
    assert "vllm is not installed" in capsys.readouterr().err
    with pytest.raises(InputError, match="rollout.engine=transformers"):
        engine_name(make_config(tmp_path, rollout={"engine": "vllm"}))


@pytest.mark.parametrize("name", ENGINES)
def test_a_name_opens_the_engine_of_its_file(name: str) -> None:
    assert importlib.import_module(f"learnalign.rollouts.engines.{name}").ENGINE.name == name


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "vllm", "scipy", "datasets", "peft")
    code = f"import sys, learnalign.rollouts; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
