"""The choice of an engine: by the config's name, with what is installed, and without a heavy import."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from learnalign.errors import InputError
from learnalign.names import ENGINES
from learnalign.rollouts import rollout
from learnalign.rollouts.engines import choice
from learnalign.rollouts.engines.choice import engine_name
from tests.tiny import make_config, make_run


def _installed(monkeypatch: pytest.MonkeyPatch, vllm: bool) -> None:
    find = importlib.util.find_spec
    found = {"vllm": object() if vllm else None}
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: found[name] if name in found else find(name))


def test_auto_is_transformers_if_vllm_is_missing_and_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _installed(monkeypatch, vllm=False)
    config = make_config(tmp_path, rollout={"engine": "auto"})
    assert engine_name(config) == "transformers"
    assert "vllm is not installed" in capsys.readouterr().err
    with pytest.raises(InputError, match="rollout.engine=transformers"):
        engine_name(make_config(tmp_path, rollout={"engine": "vllm"}))


def test_vllm_is_not_taken_at_temperatures_that_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _installed(monkeypatch, vllm=True)
    with pytest.raises(InputError, match=r"rollout.temperature 2.5: .*up to 2; .*engine=transformers"):
        engine_name(make_config(tmp_path, rollout={"engine": "vllm", "temperature": 2.5}))
    assert engine_name(make_config(tmp_path, rollout={"engine": "auto", "temperature": 2.5})) == "transformers"
    assert "vllm samples at temperatures up to 2, sampling with" in capsys.readouterr().err
    assert engine_name(make_config(tmp_path, rollout={"engine": "vllm", "temperature": 2.0})) == "vllm"


def test_auto_goes_on_with_the_engine_of_the_stored_rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard of transformers', then vLLM is installed: the other shards are transformers', too."""
    run = make_run(tmp_path, count=8, rollout={"engine": "auto"})
    _installed(monkeypatch, vllm=False)
    rollout(run)
    before = run.rollouts_file(run.shards()[1]).read_bytes()
    run.rollouts_file(run.shards()[1]).unlink()
    _installed(monkeypatch, vllm=True)
    rollout(run)
    assert run.rollouts_file(run.shards()[1]).read_bytes() == before
    assert run.read_record()["stages"]["rollout"]["engine"] == "transformers"
    assert engine_name(run.config) == "vllm"


def test_auto_refuses_to_go_on_without_the_engine_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _installed(monkeypatch, vllm=False)
    config = make_config(tmp_path, rollout={"engine": "auto"})
    with pytest.raises(InputError, match=r"no longer installed.*install it.*engine=transformers.*--overwrite"):
        engine_name(config, "vllm")
    assert engine_name(make_config(tmp_path, rollout={"engine": "transformers"}), "vllm") == "transformers"


@pytest.mark.parametrize("name", ENGINES)
def test_a_name_opens_the_engine_of_its_file(name: str) -> None:
    assert importlib.import_module(f"learnalign.rollouts.engines.{name}").ENGINE.name == name


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "vllm", "scipy", "datasets", "peft")
    code = f"import sys, learnalign.rollouts; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
