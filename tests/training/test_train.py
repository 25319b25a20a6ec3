"""`train`: the warmup's trainer on a subset, from the base model or the policy, with each curriculum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from learnalign.config import GrpoConfig, build_config
from learnalign.curriculum import Shuffled
from learnalign.curriculum.gain import Gain
from learnalign.errors import InputError
from learnalign.names import CURRICULA
from learnalign.policy import adapter_base, model_path
from learnalign.prompts import load_prompts
from learnalign.rollouts.success import success_of, write_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet, write_parquet
from learnalign.signals import signal
from learnalign.training import job, train, warmup
from learnalign.training.train_stage import sub_config
from learnalign.training.trainer import Bookkeeping
from tests.tiny import make_run

SETTINGS: dict[str, Any] = {
    "size": 4,
    "num_train_epochs": 1,
    "batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-3,
}


def _run(folder: Path, warm: dict[str, Any] | None = None, **train: Any) -> RunDir:
    return make_run(
        folder, 12, verifier="tests.training.coin_verifier:coin", warmup={**SETTINGS, **(warm or {})}, train=train
    )


def _subset(run: RunDir, count: int = 5) -> Path:
    """The pool's last rows, verbatim."""
    path = run.path.parent / "chosen.jsonl"
    lines = Path(run.config.data.path).read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[-count:]), encoding="utf-8")
    return path


def _with(run: RunDir, **train: Any) -> RunDir:
    """The same run directory with other settings for training."""
    settings = run.config.model_dump(mode="json")
    settings["train"] |= train
    return RunDir.create(run.path, build_config(settings))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for file in sorted(folder.glob("*.safetensors")) for name, value in load_file(file).items()}


def test_training_writes_a_policy_metrics_and_every_visit_s_rewards(tmp_path: Path) -> None:
    run = _run(tmp_path, num_train_epochs=2)
    pool = load_prompts(run)
    result = train(run, _subset(run))
    assert (result.name, result.prompts, result.steps, result.left_out) == ("chosen", 5, 5, 0)
    assert result.policy == run.path / "train" / "chosen" / "policy"
    assert AutoModelForCausalLM.from_pretrained(result.policy).num_parameters() > 0
    assert len(result.metrics.read_text().splitlines()) == 5
    rewards = read_parquet(result.rewards).to_pydict()
    assert list(rewards) == ["id", "epoch", "correct", "scored"]
    assert sorted(rewards["id"][:5]) == sorted(prompt.id for prompt in pool[-5:])
    assert rewards["epoch"] == [1] * 5 + [2] * 5
    assert not (run.path / "train" / "chosen" / "work").exists()


def test_nulls_take_the_warmup_s_values(tmp_path: Path) -> None:
    run = _run(tmp_path, warm={"lora": {"r": 2}}, learning_rate=5e-4)
    train_section = sub_config(run.config, "x.jsonl").train
    assert (train_section.learning_rate, train_section.batch_size) == (5e-4, 8)
    assert train_section.lora
    assert train_section.lora.r == 2
    without = sub_config(_with(run, lora=False).config, "x.jsonl")
    assert without.train.lora is False
    expected = {name: SETTINGS[name] for name in SETTINGS if name != "size"} | {"learning_rate": 5e-4}
    assert without.train.over(without.warmup) == GrpoConfig(**expected)


def test_it_starts_from_the_base_model_or_the_policy(tmp_path: Path) -> None:
    """With a learning rate too small to matter, the result equals the start."""
    run = _run(tmp_path)
    warmup(run)
    base = AutoModelForCausalLM.from_pretrained(model_path(run.config)).state_dict()
    policy = _weights(run.warmup_dir)
    for start, expected in (("base", base), ("policy", policy)):
        result = train(_with(run, learning_rate=1e-30), _subset(run), name=start, start=start)
        trained = _weights(result.policy)
        assert all(torch.equal(trained[name], expected[name]) for name in trained)
    assert any(not torch.equal(policy[name], base[name]) for name in policy)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, {"r": 2}])
def test_it_starts_from_an_adapter_policy(tmp_path: Path, lora: Any) -> None:
    run = _run(tmp_path, warm={"lora": {"r": 4}})
    warmup(run)
    frozen = AutoModelForCausalLM.from_pretrained(model_path(run.config))
    merged = PeftModel.from_pretrained(frozen, str(run.warmup_dir)).merge_and_unload().state_dict()
    result = train(_with(run, start="policy", lora=lora, learning_rate=1e-30), _subset(run))
    start = result.policy.parent / "start"
    if lora:
        assert adapter_base(result.policy) == str(start.resolve())
        weights = _weights(start)
    else:
        assert not start.exists()
        weights = _weights(result.policy)
    assert all(torch.allclose(weights[name], merged[name], atol=1e-6) for name in weights)


def test_what_libraries_print_as_they_begin_is_not_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, arguments = _run(tmp_path), job.trainer_arguments
    monkeypatch.setattr(job, "trainer_arguments", lambda *given: print("built") or arguments(*given))
    train(run, _subset(run), overrides=["train.steps=1"])
    printed = capsys.readouterr()
    assert "built" in printed.err
    assert "built" not in printed.out


@pytest.mark.parametrize(
    ("curriculum", "updates"),
    [
        ("gain", 4),
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in sorted(CURRICULA.keys() - {"gain"})),
    ],
)
def test_an_interrupted_training_ends_bitwise_the_same(
    tmp_path: Path, curriculum: str, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at the end of step 5, or between two of its updates."""
    length = {"num_train_epochs": 3, "mini_batch_size": 8 // updates, "trainer": {"save_steps": 2 * updates}}
    whole, broken = (
        _run(tmp_path / name, {"size": 0}, curriculum=curriculum, **length) for name in ("whole", "broken")
    )
    for run in (whole, broken):
        _write_signals(run)
    finished = train(whole, _subset(whole))
    end = Bookkeeping.on_step_end

    def interrupt(self: Bookkeeping, args: Any, state: Any, control: Any, **more: Any) -> None:
        end(self, args, state, control, **more)
        if state.global_step == 5 * updates - updates // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bookkeeping, "on_step_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(broken, _subset(broken))
    resumed = train(broken, _subset(broken))
    assert RunDir.peek(resumed.policy.parent).read_record()["stages"]["train"]["resumed_steps"] == 4
    assert resumed.curriculum == finished.curriculum
    assert read_parquet(resumed.rewards).equals(read_parquet(finished.rewards))
    weights, expected = _weights(resumed.policy), _weights(finished.policy)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def _write_signals(run: RunDir) -> None:
    ids = [prompt.id for prompt in load_prompts(run)]
    angles = pa.table({"id": ids, "c_intra": [i / len(ids) for i in range(len(ids))], "c_inter": [0.0] * len(ids)})
    write_parquet(run.signal_file("angle"), angles, "f")
    write_success(run, [success_of(id, 8, 8, i % 9) for i, id in enumerate(ids)])


def _recorded(events: list[tuple[str, list[int]]], name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any) -> Any:
        result = method(self, *arguments)
        events.append((name, list(arguments[0] if result is None else result)))
        return result

    return call


def test_each_step_is_drawn_once_after_the_update_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL's data loader fetches a step ahead by default; the curriculum must not see that, nor several updates a step."""
    events: list[tuple[str, list[int]]] = []
    for kind in (Gain, Shuffled):
        monkeypatch.setattr(kind, "draw", _recorded(events, "draw", kind.draw))
        monkeypatch.setattr(kind, "update", _recorded(events, "update", kind.update))
    for curriculum, mini_batch in (("gain", 2), ("shuffled", 8)):
        settings = {"num_train_epochs": 2, "mini_batch_size": mini_batch}
        run = _run(tmp_path / curriculum, {"size": 0}, curriculum=curriculum, **settings)
        _write_signals(run)
        events.clear()
        steps = train(run, _subset(run)).steps
        assert [name for name, _ in events] == ["draw", "update"] * steps
        assert all(events[i][1] == events[i + 1][1] for i in range(0, 2 * steps, 2))


def test_gain_without_the_angle_signal_names_the_command(tmp_path: Path) -> None:
    run = _run(tmp_path)
    with pytest.raises(InputError, match=r"learnalign signal .* angle --policy base`"):
        train(run, _subset(run), curriculum="gain")
    assert (run.path / "train" / "chosen-gain").is_dir()
    with pytest.raises(InputError, match=r"train\.curriculum: got 'gian'"):
        train(run, _subset(run), curriculum="gian")


@pytest.mark.slow
def test_gain_takes_the_angles_of_the_model_that_it_trains_and_no_other(tmp_path: Path) -> None:
    """From base by default: its angles need no warmup; the policy's are refused with both ways out."""
    run = _run(tmp_path, curriculum="gain")
    signal(run, ["angle"], "base")
    assert train(run, _subset(run), name="from-base").steps == 3
    warmup(run)
    with pytest.raises(InputError, match=r"angles of base, but the model that is trained is policy.*--policy policy"):
        train(run, _subset(run), name="from-policy", start="policy")
    signal(run, ["angle"], "policy", overwrite=True)
    assert train(run, _subset(run), name="from-policy", start="policy").steps == 3
    words = r"angles of policy, but .* trained is base.*`learnalign signal .* angle --policy base --overwrite`.*--start policy"
    with pytest.raises(InputError, match=words):
        train(run, _subset(run), name="again")


@pytest.mark.slow
def test_adarft_refuses_the_success_rates_of_another_model_than_it_trains(tmp_path: Path) -> None:
    run = _run(tmp_path, curriculum="adarft")
    warmup(run)
    _write_signals(run)
    with pytest.raises(InputError, match=r"rates of .* are the policy's, but .* base;.*--start policy.*warmup\.size=0"):
        train(run, _subset(run))
    assert train(run, _subset(run), start="policy").steps == 3


@pytest.mark.slow
def test_running_again_trains_nothing_and_another_start_is_refused(tmp_path: Path) -> None:
    run = _run(tmp_path, start="policy")
    warmup(run)
    first = train(run, _subset(run))
    before = (first.policy / "model.safetensors").stat().st_mtime_ns
    assert train(run, _subset(run)) == first
    assert (first.policy / "model.safetensors").stat().st_mtime_ns == before
    (run.warmup_dir / "note.txt").write_text("another policy")
    with pytest.raises(InputError, match=r"trained from another policy.*--overwrite.*--name"):
        train(run, _subset(run))
    train(run, _subset(run), overwrite=True)
    assert (first.policy / "model.safetensors").stat().st_mtime_ns != before


def test_other_settings_under_the_same_name_are_refused(tmp_path: Path) -> None:
    run = _run(tmp_path)
    train(run, _subset(run))
    with pytest.raises(InputError, match=r"train\.learning_rate: stored 0\.001, requested 0\.002"):
        train(_with(run, learning_rate=2e-3), _subset(run))


def test_a_missing_subset_is_refused(tmp_path: Path) -> None:
    run = _run(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.jsonl: no such file"):
        train(run, tmp_path / "nowhere.jsonl")


def test_a_training_is_a_run_directory_whose_pool_is_the_subset(tmp_path: Path) -> None:
    run = _run(tmp_path)
    result = train(run, _subset(run))
    sub = RunDir.open(result.policy.parent)
    assert sub.config.data.path == str(_subset(run).resolve())
    assert [prompt.id for prompt in load_prompts(sub)] == [prompt.id for prompt in load_prompts(run)[-5:]]
