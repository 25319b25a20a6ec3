"""β of Eq. 7 counts whenever the policy is not π_ref itself: with an adapter, after a warmup, with another reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from learnalign.config import build_config
from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.gradients.grpo import Sample
from learnalign.gradients.inputs import make_engine
from learnalign.gradients.reference import refer, sample_reader
from learnalign.policy import model_path
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.training import warmup
from tests.gradients.pool import run_with_rollouts, write_rollouts
from tests.gradients.tiny import brute_force, collected
from tests.tiny import make_run, save_model

BETA = 0.5
GRAD: dict[str, Any] = {"beta": BETA, "modules": "linear"}


def _model(path: str) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval().requires_grad_(False)


def _adapter(folder: Path, base: str) -> Path:
    """A LoRA adapter of which both matrices are random."""
    adapted = get_peft_model(_model(base), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(folder / "adapter")
    return folder / "adapter"


def _with_model(folder: Path, **model: Any) -> RunDir:
    """A run with rollouts, β = 0.5 and these `model` keys."""
    run = make_run(folder, grad=GRAD)
    settings = run.config.model_dump(mode="json")
    settings["model"] |= model
    changed = RunDir.create(folder / "changed", build_config(settings))
    write_rollouts(changed)
    return changed


def _samples(run: RunDir) -> list[Sample]:
    refer(run, run.shards())
    read = sample_reader(run, load_success(run))
    return [sample for shard in run.shards() for sample in read(shard).samples]


def _distance(run: RunDir, policy: nn.Module, reference: nn.Module | None) -> float:
    """Relative error of the run's engine against float64 autograd of Eq. 7's objective with this reference."""
    samples, engine = _samples(run), make_engine(run)
    gradients = collected(engine, samples)
    names = list(gradients)
    exact = brute_force(policy, names, samples, reference, beta=BETA if reference is not None else 0.0)
    stacked = torch.cat([gradients[name].flatten(1) for name in names], dim=1)
    return float((stacked - exact).norm() / exact.norm())


def test_the_reference_of_an_adapter_is_the_model_below_it(tmp_path: Path) -> None:
    base = str(save_model(tmp_path / "base"))
    adapter = str(_adapter(tmp_path, base))
    run = _with_model(tmp_path, name=base, adapter=adapter)
    policy, reference = PeftModel.from_pretrained(_model(base), adapter), _model(base)  # type: ignore[arg-type]
    assert _distance(run, policy.eval().requires_grad_(False), reference) < 1e-4
    assert _distance(run, policy, None) > 0.1  # β counts


@pytest.mark.parametrize("adapted", [False, True])
def test_another_reference_is_taken_for_a_model_and_for_an_adapter(tmp_path: Path, adapted: bool) -> None:
    base, other = str(save_model(tmp_path / "base")), str(save_model(tmp_path / "other", seed=7))
    model = {"name": base, "reference": other} | ({"adapter": str(_adapter(tmp_path, base))} if adapted else {})
    policy = _model(base)
    if adapted:
        policy = PeftModel.from_pretrained(policy, model["adapter"]).eval().requires_grad_(False)  # type: ignore[arg-type]
    run = _with_model(tmp_path, **model)
    assert _distance(run, policy, _model(other)) < 1e-4
    assert _distance(run, policy, None) > 0.1


def test_the_same_weights_without_warmup_need_no_reference(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path, grad=GRAD)
    for reference in (None, run.config.model.name):
        run = RunDir.create(
            tmp_path / str(bool(reference)),
            run.config.model_copy(update={"model": run.config.model.model_copy(update={"reference": reference})}),
        )
        assert make_engine(run).settings.beta == 0
        write_rollouts(run)
        grad(run)
        assert not list(run.path.glob("rollouts/reference*"))


def test_after_a_warmup_the_reference_is_the_model_before_it(tmp_path: Path) -> None:
    settings = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 4, "learning_rate": 1e-2}
    run = make_run(tmp_path, grad=GRAD, warmup=settings, verifier="tests.training.coin_verifier:coin")
    warmup(run)
    write_rollouts(run)
    assert _distance(run, _model(str(run.warmup_dir)), _model(model_path(run.config))) < 1e-4


def test_gradients_with_another_reference_are_not_mixed_but_rollouts_stay(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path, grad=GRAD)
    grad(run)
    other = str(save_model(tmp_path / "other", seed=7))
    config = run.config.model_copy(update={"model": run.config.model.model_copy(update={"reference": other})})
    with pytest.raises(InputError, match=r"grad: model\.reference: stored null, requested"):
        RunDir.create(run.path, config)
    with RunDir.overwriting(run.path, config, None) as changed:
        assert changed.is_finished("rollout")
        assert not changed.is_finished("grad")


@pytest.mark.parametrize(
    ("reference", "words"),
    [("adapter", "merge the adapter"), ("none", "no such directory"), ("words", "another vocabulary")],
)
def test_a_reference_that_cannot_be_one_is_refused(tmp_path: Path, reference: str, words: str) -> None:
    base = save_model(tmp_path / "base")
    _adapter(tmp_path, str(base))
    text = (save_model(tmp_path / "words") / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "words" / "tokenizer.json").write_text(text.replace('"A":', '"AAA":'), encoding="utf-8")
    run = _with_model(tmp_path, name=str(base), reference=str(tmp_path / reference))
    with pytest.raises(InputError, match=f"model.reference .*{reference}.*{words}"):
        refer(run, run.shards())


def test_a_warmup_that_would_ignore_an_adapter_is_refused(tmp_path: Path) -> None:
    base = str(save_model(tmp_path / "base"))
    run = make_run(tmp_path, model={"adapter": str(_adapter(tmp_path, base))}, warmup={"size": 4})
    with pytest.raises(InputError, match=r"model\.adapter.*warmup\.size to 0.*merge"):
        warmup(run)
