"""Numbers at the edge of what they can be: every stage gives a right result or one clear line, and counts add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from learnalign.errors import InputError, LearnAlignError, RunError
from learnalign.gradients import grad
from learnalign.prompts import load_prompts
from learnalign.rollouts import load_rollouts, rollout
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet, read_safetensors
from learnalign.selection import select
from learnalign.signals import signal
from learnalign.training import warmup
from tests.gradients.pool import run_with_rollouts, write_rollouts
from tests.selection.measured import measured_run, write_gradients
from tests.tiny import make_config, make_run, save_model

MIXED = [[1.0, 0.0, 1.0, 0.0]]
NORM = "model.norm.weight"
WARMUP = {"size": 4, "batch_size": 8, "num_generations": 4, "max_completion_length": 4}


def edit(run: RunDir, change: Callable[[dict[str, torch.Tensor]], object]) -> RunDir:
    """Change the weights of a run that has not begun."""
    file = Path(run.config.model.name) / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})
    return run


def features(run: RunDir) -> torch.Tensor:
    return torch.cat([read_safetensors(run.gradients_file(shard))[0]["features"] for shard in run.shards()])


def alignments(run: RunDir) -> np.ndarray:
    return read_parquet(run.scores_file("learnalign"))["alignment"].to_numpy()


def check_counts(run: RunDir) -> None:
    """Every prompt is counted once in every stage that is done."""
    stages, prompts = run.read_record()["stages"], len(load_prompts(run))
    counts = {name: entry["counts"] for name, entry in stages.items() if entry["status"] == "done"}
    assert counts["pool"]["rows"] == counts["pool"]["prompts"] + counts["pool"]["left_out"]
    assert counts["pool"]["prompts"] == prompts == len(load_success(run))
    if "grad" in counts:
        assert sum(count for name, count in counts["grad"].items() if name != "tokens") == prompts
    if "select" in counts:
        entry = stages["select"]["methods"]["learnalign"]
        assert entry["eligible"] + sum(entry["skipped"].values()) == prompts
        assert len(run.subset_file("learnalign").read_text().splitlines()) == entry["chosen"]


def one_line(error: pytest.ExceptionInfo[LearnAlignError]) -> None:
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
@pytest.mark.parametrize(
    "stage", [warmup, rollout, grad, lambda run: signal(run, ["angle"])], ids=["warmup", "rollout", "grad", "signal"]
)
def test_weights_that_are_not_finite_are_named_by_every_stage(tmp_path: Path, stage: Any, value: float) -> None:
    run = make_run(tmp_path, warmup=WARMUP if stage is warmup else {"size": 0})
    edit(run, lambda tensors: tensors[NORM][5].fill_(value))
    if stage is grad:
        write_rollouts(run)
    with pytest.raises(InputError, match=f"its parameter {NORM} is not finite") as error:
        stage(run)
    one_line(error)


def test_logits_beyond_float16_are_one_line(tmp_path: Path) -> None:
    run = edit(make_run(tmp_path), lambda tensors: tensors[NORM].mul_(6e4))
    half = run.config.model_copy(update={"model": run.config.model.model_copy(update={"dtype": "float16"})})
    half_run = RunDir.create(tmp_path / "half", half)
    with pytest.raises(RunError, match="logits are NaN or infinite in torch.float16; set model.dtype") as error:
        rollout(half_run)
    one_line(error)
    assert not list(half_run.path.glob("rollouts/*"))
    rollout(run)  # float32 has room for them
    check_counts(run)


def test_gradients_beyond_float16_are_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    config = run.config.model_copy(update={"model": run.config.model.model_copy(update={"dtype": "float16"})})
    run = edit(RunDir.create(tmp_path / "half", config), lambda tensors: tensors[NORM].mul_(1e4))
    write_rollouts(run)
    with pytest.raises(RunError, match=r"gradients are bad.*not finite.*model.dtype") as error:
        grad(run)
    one_line(error)


def test_gradients_of_zero_are_counted_and_leave_nothing_to_choose(tmp_path: Path) -> None:
    """Head and last norm are zero: every token has the same probability, and no parameter changes that to first order."""
    run = make_run(tmp_path, grad={"max_bad": 1.0})
    edit(run, lambda tensors: [tensors[name].zero_() for name in (NORM, "lm_head.weight")])
    write_rollouts(run, MIXED)
    result = grad(run)
    assert (result.features, len(result.bad)) == (0, 12)
    check_counts(run)
    with pytest.raises(RunError, match="nothing to choose.*gradient is zero") as error:
        select(run)
    one_line(error)


def test_a_kl_coefficient_beyond_float32_is_one_line(tmp_path: Path) -> None:
    reference = save_model(tmp_path / "reference", seed=1)
    config = make_config(tmp_path, grad={"beta": 1e300})
    model = config.model.model_copy(update={"reference": str(reference)})
    run = RunDir.create(tmp_path / "run", config.model_copy(update={"model": model}))
    write_rollouts(run, MIXED)
    with pytest.raises(RunError, match=r"gradients are bad.*not finite") as error:
        grad(run)
    one_line(error)


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ([[0.0] * 4], "12 never solved, 0 sometimes"),
        ([[1.0] * 4], "0 sometimes, 12 always solved"),
        ([[None] * 4], "12 not scored"),
        ([[1.0], [0.0]], "6 never solved, 0 sometimes, 6 always solved"),
    ],
    ids=["all 0", "all 1", "none scored", "groups of one"],
)
def test_without_learnability_there_is_nothing_to_learn_from(tmp_path: Path, rewards: Any, words: str) -> None:
    run = run_with_rollouts(tmp_path, rewards, rollout={"num_generations": len(rewards[0])})
    assert grad(run).features == 0
    check_counts(run)
    with pytest.raises(RunError, match=f"nothing to learn from.*{words}") as error:
        select(run)
    one_line(error)


def test_a_pool_of_one_prompt_chooses_it(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path, MIXED, count=1, select={"size": 1})
    grad(run)
    assert select(run).chosen == 1
    check_counts(run)
    scores = read_parquet(run.scores_file("learnalign"))
    assert scores["score"].to_pylist() == pytest.approx(
        [0.25 * 0.25], rel=1e-3
    )  # V · (1/1 · V · cos(φ, φ)), φ in float16


def test_scores_that_are_all_equal_are_ranked_by_id(tmp_path: Path) -> None:
    run = measured_run(tmp_path, [4] * 24, select={"size": 5})
    write_gradients(run, [4] * 24, np.ones((24, 16)))
    assert select(run).chosen == 5
    scores = read_parquet(run.scores_file("learnalign"))
    assert scores["score"].to_pylist() == pytest.approx([0.25 * 0.25] * 24)
    chosen = [
        id for id, selected in zip(scores["id"].to_pylist(), scores["selected"].to_pylist(), strict=True) if selected
    ]
    assert sorted(chosen) == sorted(prompt.id for prompt in load_prompts(run))[:5]


def test_more_entries_than_parameters_are_nearly_exact(tmp_path: Path) -> None:
    """One bucket for each number: only the vocabulary is still folded."""
    wide = run_with_rollouts(tmp_path / "wide", MIXED, grad={"dim": 1 << 17, "width": 1 << 10})
    exact = run_with_rollouts(tmp_path / "exact", MIXED, grad={"projection": "exact"})
    for run in (wide, exact):
        grad(run)
        select(run)
        check_counts(run)
    assert features(wide).shape == (12, 1 << 17)
    np.testing.assert_allclose(alignments(wide), alignments(exact), atol=5e-3)


def test_batches_of_one_token_and_of_all_give_the_same_features(tmp_path: Path) -> None:
    sizes = [{"batch_tokens": size, "feature_dtype": "float32"} for size in (1, 10**12)]
    runs = [run_with_rollouts(tmp_path / str(size["batch_tokens"]), MIXED, grad=size) for size in sizes]
    for run in runs:
        grad(run)
    torch.testing.assert_close(features(runs[0]), features(runs[1]), atol=1e-5, rtol=0)


def test_the_smallest_nucleus_and_the_lowest_temperature_are_greedy(tmp_path: Path) -> None:
    """And a completion without limit ends where the model's context does."""
    settings = {"num_generations": 2, "max_completion_length": 10**12}
    shape = {"max_position_embeddings": 96, "eos_token_id": 258}
    drawn = {}
    for name, sampling in {"greedy": {"temperature": 0, "num_generations": 1}, "nucleus": {"top_p": 1e-300}}.items():
        config = make_config(tmp_path / name, count=3, rollout={**settings, **sampling})
        save_model(tmp_path / name / "model", **shape)
        run = RunDir.create(tmp_path / name / "run", config)
        rollout(run)
        check_counts(run)
        drawn[name] = {one.id: one for shard in run.shards() for one in load_rollouts(run, shard)}
    assert {id: one.completion_ids for id, one in drawn["greedy"].items()} == {
        id: one.completion_ids for id, one in drawn["nucleus"].items()
    }
    for one in drawn["greedy"].values():
        assert one.finish_reason == "stop" or len(one.prompt_ids) + len(one.completion_ids) == 96


@pytest.mark.parametrize("temperature", [0.01, 1e300])
def test_extreme_temperatures_sample(tmp_path: Path, temperature: float) -> None:
    run = make_run(tmp_path, count=4, rollout={"temperature": temperature})
    rollout(run)
    check_counts(run)


def test_a_training_without_any_reward_ends_as_it_began(tmp_path: Path) -> None:
    """No group has spread and β is 0: every gradient is zero."""
    run = make_run(tmp_path, warmup={**WARMUP, "beta": 0.0, "num_train_epochs": 1})
    warmup(run)
    before, after = (load_file(Path(path) / "model.safetensors") for path in (run.config.model.name, run.warmup_dir))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_a_prompt_of_thirty_thousand_tokens_passes_every_stage(tmp_path: Path) -> None:
    config = make_config(
        tmp_path,
        data={"max_prompt_tokens": 40_000},
        verifier="tests.rollouts.judges:by_first_letter",
        rollout={"num_generations": 8, "max_completion_length": 3},
        select={"size": 1},
    )
    shape = {"hidden_size": 16, "head_dim": 16, "num_attention_heads": 1, "num_hidden_layers": 1}
    save_model(tmp_path / "model", max_position_embeddings=40_960, **shape)
    rows = [{"question": "1 + 1 = ? " * 3000, "answer": "2"}, {"question": "2 + 2 = ?", "answer": "4"}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = RunDir.create(tmp_path / "run", config)
    rollout(run)
    assert max(len(one.prompt_ids) for shard in run.shards() for one in load_rollouts(run, shard)) > 30_000
    assert grad(run).features == 2
    assert signal(run, ["angle"])[0].values == 2
    assert select(run).chosen == 1
    check_counts(run)
    assert features(run).isfinite().all()
