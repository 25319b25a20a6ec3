"""Signals of a named model: whose values they are, and that those of two models never mix."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from learnalign.config import build_config
from learnalign.errors import InputError, RunError
from learnalign.policy import model_path
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.selection import select
from learnalign.signals import signal, stored_model
from learnalign.signals import stage as signal_stage
from tests.tiny import make_run, save_model

OF_A_MODEL = ["perplexity", "ifd", "selectit", "features", "angle"]


def warmed_up(folder: Path, **sections: Any) -> RunDir:
    """A run whose policy is another model than its base."""
    run = make_run(folder, 6, data={"solution": "answer"}, warmup={"size": 3}, **sections)
    load_prompts(run)
    with run.stage("warmup"):
        save_model(run.warmup_dir, seed=1)
    return run


def trained(run: RunDir, name: str, seed: int) -> Path:
    return save_model(run.path / "train" / name / "policy", seed=seed)


def values(run: RunDir, name: str) -> list[float | None]:
    column = {"features": "vector"}.get(name, "value")
    return read_parquet(run.signal_file(name))[column].to_pylist()


def alone(folder: Path, model: Path | str) -> RunDir:
    """A run without warmup whose base model is `model`."""
    return make_run(folder, 6, data={"solution": "answer"}, model={"name": str(model), "dtype": "float32"})


def test_values_are_those_of_a_run_whose_only_model_is_the_named_one(tmp_path: Path) -> None:
    """Every name that a model can have, and every signal that uses a model."""
    run = warmed_up(tmp_path / "run")
    trained(run, "x", seed=2)
    models = {"base": Path(model_path(run.config)), "policy": run.warmup_dir, "train/x": run.path / "train/x/policy"}
    models[str(tmp_path / "elsewhere")] = save_model(tmp_path / "elsewhere", seed=3)
    seen = []
    for i, (name, model) in enumerate(models.items()):
        results = signal(run, OF_A_MODEL, name, overwrite=True)
        assert [result.policy for result in results] == [name] * 5
        other = alone(tmp_path / str(i), model)
        signal(other, OF_A_MODEL)
        for each in OF_A_MODEL:
            assert values(run, each) == values(other, each)
            assert stored_model(run.signal_file(each)).name == name  # type: ignore[union-attr]
        seen.append(values(run, "angle"))
    assert len({str(each) for each in seen}) == 4


def test_an_adapter_is_measured_on_its_own_base(tmp_path: Path) -> None:
    run = warmed_up(tmp_path / "run")
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config))
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False))
    model.save_pretrained(run.path / "train" / "low" / "policy")
    signal(run, ["angle"], "train/low")
    merged = save_model(tmp_path / "merged")
    model.merge_and_unload().save_pretrained(merged)  # type: ignore[operator]
    other = alone(tmp_path / "other", merged)
    signal(other, ["angle"])
    assert values(run, "angle") == pytest.approx(values(other, "angle"), abs=1e-6)


def test_the_base_model_needs_no_warmup(tmp_path: Path) -> None:
    run = make_run(tmp_path, 6, warmup={"size": 3})
    with pytest.raises(RunError, match="learnalign warmup"):
        signal(run, ["angle"])
    assert signal(run, ["angle"], "base")[0].values == 6


def test_another_model_is_refused_until_the_user_decides(tmp_path: Path) -> None:
    run = warmed_up(tmp_path)
    signal(run, ["angle", "length", "perplexity"])
    before = values(run, "angle")
    with pytest.raises(InputError, match=r"angle\.parquet: stored the angle of policy, requested that of base; pass"):
        signal(run, ["angle"], "base")
    assert values(run, "angle") == before
    kept = [run.signal_file(name).read_bytes() for name in ("length", "perplexity")]
    signal(run, ["angle"], "base", overwrite=True)
    assert values(run, "angle") != before
    assert [run.signal_file(name).read_bytes() for name in ("length", "perplexity")] == kept
    with pytest.raises(InputError, match=r"stored the angle of base, requested that of policy.*--policy base"):
        signal(run, ["angle"])


def test_a_signal_without_a_model_is_of_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, 6, warmup={"size": 3}, data={"solution": "answer"})
    for name in ("base", "train/none"):
        assert signal(run, ["length"], name)[0].policy is None
    assert stored_model(run.signal_file("length")) is None


def test_parts_of_another_model_are_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = warmed_up(tmp_path, executor={"shard_size": 2})
    real, calls = signal_stage.signal_table, []

    def interrupted(*arguments: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(signal_stage, "signal_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            signal(run, ["angle"])
    with pytest.raises(InputError, match=r"part-00000\.parquet: stored the angle of policy, requested that of base"):
        signal(run, ["angle"], "base")
    signal(run, ["angle"], "base", overwrite=True)
    other = alone(tmp_path / "other", model_path(run.config))
    signal(other, ["angle"])
    assert values(run, "angle") == pytest.approx(values(other, "angle"), abs=1e-6)


def test_without_warmup_base_and_policy_are_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, 6)
    copy = shutil.copytree(model_path(run.config), tmp_path / "copy")
    signal(run, ["angle"])
    monkeypatch.setattr(
        signal_stage, "execute", lambda run, label, shards, make: pytest.fail("worked") if shards else None
    )
    for name in ("base", "policy", model_path(run.config), str(copy)):
        signal(run, ["angle"], name)


def test_base_is_not_the_adapter_of_a_run_without_warmup(tmp_path: Path) -> None:
    plain = make_run(tmp_path, 6)
    base = AutoModelForCausalLM.from_pretrained(model_path(plain.config))
    adapter = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False))
    adapter.save_pretrained(tmp_path / "adapter")
    settings = plain.config.model_dump(mode="json")
    settings["model"]["adapter"] = str(tmp_path / "adapter")
    run = RunDir.create(tmp_path / "adapted", build_config(settings))
    for each, name in ((plain, "policy"), (run, "base")):
        signal(each, ["angle"], name)
    assert values(run, "angle") == values(plain, "angle")
    with pytest.raises(InputError, match="stored the angle of base, requested that of policy"):
        signal(run, ["angle"])


def test_a_model_that_was_trained_again_is_another(tmp_path: Path) -> None:
    run = warmed_up(tmp_path)
    trained(run, "x", seed=2)
    signal(run, ["angle"], "train/x")
    assert "the signal angle is that of train/x" in select(run, 3, "gain").notes
    trained(run, "x", seed=3)
    with pytest.raises(InputError, match="stored the angle of train/x, requested that of train/x as it is now"):
        signal(run, ["angle"], "train/x")
    with pytest.raises(InputError, match="angle --policy train/x --overwrite"):
        select(run, 3, "gain")
    shutil.rmtree(run.path / "train")
    select(run, 3, "gain")  # deleted: the values are still its own


def test_methods_take_whatever_model_s_values_and_say_so(tmp_path: Path) -> None:
    run = warmed_up(tmp_path)
    signal(run, ["angle"], "base")
    signal(run, ["perplexity"])
    for method in ("gain", "gain-high", "gain-low"):
        assert "the signal angle is that of base" in select(run, 3, method).notes
    assert select(run, 3, "ppl-top").notes == []
    scores = read_parquet(run.scores_file("gain")).to_pydict()
    assert sorted(scores["score"]) == sorted(v for v in values(run, "angle") if v is not None)


def test_a_model_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, 6)
    other = save_model(tmp_path / "foreign")
    text = (other / "tokenizer.json").read_text(encoding="utf-8")
    (other / "tokenizer.json").write_text(text.replace('"Ġ"', '"ĠĠ"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"signal\.policy .*foreign: its tokenizer is not that of"):
        signal(run, ["angle"], str(other))


@pytest.mark.parametrize(
    ("name", "words"), [("train/y", r"signal\.policy train/y: no such training"), ("nowhere", "no such directory")]
)
def test_an_unknown_model_is_refused(tmp_path: Path, name: str, words: str) -> None:
    run = make_run(tmp_path, 6)
    with pytest.raises((InputError, RunError), match=words):
        signal(run, ["angle"], name)


def test_the_key_and_the_argument_name_the_same_model(tmp_path: Path) -> None:
    run = warmed_up(tmp_path, signal={"policy": "base"})
    (by_key,) = signal(run, ["angle"])
    assert by_key == signal(run, ["angle"], "base")[0]
    with pytest.raises(InputError, match="stored the angle of base, requested that of policy"):
        signal(run, ["angle"], "policy")
