"""`signal` on a run directory: what values are computed over, resume, and refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from learnalign.errors import InputError, RunError
from learnalign.names import SIGNALS
from learnalign.policy import load_policy, load_tokenizer, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.rundir import RunDir
from learnalign.signals import find_signal, signal
from learnalign.signals import stage as signal_stage
from learnalign.signals.selectit import RATING_PROMPTS
from learnalign.summary import summarise
from tests.gradients.pool import run_with_rollouts
from tests.signals.test_likelihood import nll_by_hand
from tests.tiny import make_run, save_model

SOLUTION: dict[str, Any] = {"data": {"solution": "answer"}}


def rows_of(run: RunDir, name: str) -> list[dict[str, Any]]:
    return pq.read_table(run.signal_file(name)).to_pylist()


def first_rollouts(run: RunDir) -> dict[str, dict[str, Any]]:
    rows = [row for path in sorted((run.path / "rollouts").iterdir()) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row for row in rows if row["sample"] == 0}


def test_likelihood_signals_over_gold_solutions_equal_a_computation_by_hand(tmp_path: Path) -> None:
    run = make_run(tmp_path, 6, **SOLUTION)
    signal(run, ["perplexity", "ifd", "length"])
    model, tokenizer = load_policy(run), load_tokenizer(run.config)
    perplexity, ifd, length = (rows_of(run, name) for name in ("perplexity", "ifd", "length"))
    for i, prompt in enumerate(load_prompts(run)):
        x, y = prompt_ids(tokenizer, prompt.messages), tokenizer(prompt.answer)["input_ids"]
        assert perplexity[i]["id"] == ifd[i]["id"] == length[i]["id"] == prompt.id
        assert perplexity[i]["over"] == "solution"
        assert perplexity[i]["value"] == pytest.approx(math.exp(nll_by_hand(model, x, y)), rel=1e-4)
        assert length[i]["value"] == len(x) + len(y)
        if len(y) > 1:
            expected = nll_by_hand(model, x, y) / nll_by_hand(model, y[:1], y[1:])
            assert ifd[i]["value"] == pytest.approx(expected, rel=1e-4)
        else:
            assert (ifd[i]["value"], ifd[i]["skipped"]) == (None, "answer of a single token")


def test_without_solutions_the_first_rollout_is_used_as_it_was_sampled(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path)
    (result,) = signal(run, ["perplexity"])
    model = load_policy(run)
    for row in rows_of(run, "perplexity"):
        rollout = first_rollouts(run)[row["id"]]
        expected = math.exp(nll_by_hand(model, rollout["prompt_ids"], rollout["completion_ids"]))
        assert row["value"] == pytest.approx(expected, rel=1e-4)
    assert (result.values, result.over) == (12, {"rollout": 12})


def test_features_and_selectit_equal_computations_by_hand(tmp_path: Path) -> None:
    run = make_run(tmp_path, 6, **SOLUTION)
    signal(run, ["features", "selectit"])
    model, tokenizer = load_policy(run), load_tokenizer(run.config)
    features, selectit = rows_of(run, "features"), rows_of(run, "selectit")
    digits = [tokenizer(digit)["input_ids"][0] for digit in "12345"]
    for i, prompt in enumerate(load_prompts(run)):
        ids = prompt_ids(tokenizer, prompt.messages) + tokenizer(prompt.answer)["input_ids"]
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0].double()
        mean = sum((t + 1) * h for t, h in enumerate(hidden)) / sum(range(1, len(ids) + 1))
        torch.testing.assert_close(torch.tensor(features[i]["vector"]).double(), mean, atol=1e-5, rtol=1e-4)
        assert features[i]["value"] == pytest.approx(float(mean.norm()), rel=1e-5)
        scores = []
        for ask in RATING_PROMPTS:
            text = f"{ask}\n\nQuestion:\n{prompt.messages[-1]['content']}\n\nAnswer:\n{prompt.answer}"
            request = prompt_ids(tokenizer, [{"role": "user", "content": text}])
            q = model(torch.tensor([request])).logits[0, -1, digits].double().softmax(0).tolist()
            scores.append((q.index(max(q)) + 1) * sum(max(q) - other for other in q) / 4)
        mean_score = sum(scores) / 5
        std = math.sqrt(sum((score - mean_score) ** 2 for score in scores) / 5)
        assert selectit[i]["value"] == pytest.approx(mean_score / (1 + 0.2 * std), rel=1e-4)


def test_selectit_weighs_models_by_their_parameters(tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", seed=1, num_hidden_layers=4)
    run = make_run(tmp_path, 3, **SOLUTION, signal={"selectit_models": [str(other)]})
    signal(run, ["selectit"])
    sizes = [sum(p.numel() for p in load_policy(run).parameters())]
    sizes.append(sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(other).parameters()))
    for row in rows_of(run, "selectit"):
        expected = (row["sentence"][0] * sizes[0] + row["sentence"][1] * sizes[1]) / sum(sizes)
        assert row["value"] == pytest.approx(expected, rel=1e-9)
        assert row["sentence"][0] != row["sentence"][1]


def test_angle_needs_no_rollouts_and_follows_its_weight_without_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, 6, data={"system_prompt": "Think."})
    signal(run, ["angle"])
    before = rows_of(run, "angle")
    assert all(row["value"] == pytest.approx(row["c_intra"] + row["c_inter"]) for row in before)
    monkeypatch.setattr(
        signal_stage, "execute", lambda run, label, shards, make: pytest.fail("worked") if shards else None
    )
    settings = run.config.signal.model_copy(update={"angle_weight": 4.0})
    signal(RunDir(run.path, run.config.model_copy(update={"signal": settings})), ["angle"])
    for row, old in zip(rows_of(run, "angle"), before, strict=True):
        assert (row["c_intra"], row["c_inter"]) == (old["c_intra"], old["c_inter"])
        assert row["value"] == pytest.approx(row["c_intra"] + 4 * row["c_inter"])


def test_an_interrupted_signal_resumes_at_the_shard_it_stopped_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, 12, **SOLUTION)
    real = signal_stage.signal_table
    calls: list[str] = []

    def counting(one: Any, samples: Any, rows: Any) -> pa.Table:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(one.name)
        return real(one, samples, rows)

    monkeypatch.setattr(signal_stage, "signal_table", counting)
    with pytest.raises(KeyboardInterrupt):
        signal(run, ["length"])
    assert not run.signal_file("length").exists()
    assert summarise(run)["stages"][-1]["status"] == "length 2 of 3 shards"
    calls.clear()
    signal(run, ["length"])
    assert len(calls) == 1  # three shards, two were done
    assert [row["id"] for row in rows_of(run, "length")] == [prompt.id for prompt in load_prompts(run)]
    assert sorted(path.name for path in run.signal_file("length").parent.iterdir()) in (
        ["length.parquet"],
        [".parts", "length.parquet"],
    )


def test_values_are_the_same_for_every_sharding_and_batch(tmp_path: Path) -> None:
    values = []
    for i, (shard_size, batch_tokens) in enumerate([(2, 1), (12, 4096)]):
        (tmp_path / str(i)).mkdir()
        run = make_run(
            tmp_path / str(i),
            executor={"shard_size": shard_size},
            signal={"batch_tokens": batch_tokens},
            **SOLUTION,
        )
        signal(run, ["perplexity", "angle"])
        values.append([row["value"] for name in ("perplexity", "angle") for row in rows_of(run, name)])
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_limr_reads_the_rewards_of_a_training(tmp_path: Path) -> None:
    run = make_run(tmp_path, 4)
    with pytest.raises(RunError, match="learnalign train"):
        signal(run, ["limr"])
    ids = [prompt.id for prompt in load_prompts(run)]
    correct = [[1, 2], [0, 4], [3, 3]]  # of 4 rollouts in two epochs; the fourth prompt was not trained on
    rows = [(id, k, c, 4) for id, row in zip(ids, correct, strict=False) for k, c in enumerate(row)]
    columns = dict(zip(("id", "epoch", "correct", "scored"), zip(*rows, strict=True), strict=True))
    path = run.path / "train" / "full" / "rewards.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    signal(run, ["limr"])
    average = [sum(row[k] for row in correct) / 12 for k in range(2)]
    for row, stored in zip(correct, rows_of(run, "limr"), strict=False):
        above = sum((row[k] / 4 - average[k]) ** 2 for k in range(2))
        assert stored["value"] == pytest.approx(1 - above / sum((1 - a) ** 2 for a in average))
    assert rows_of(run, "limr")[3]["skipped"] == "not in the training"
    (path.parents[1] / "other").mkdir()
    pq.write_table(pa.table(columns), path.parents[1] / "other" / "rewards.parquet")
    with pytest.raises(InputError, match=r"full, other.*signal\.train"):
        signal(run, ["limr"])


def test_every_module_with_a_signal_has_its_name_and_the_reverse() -> None:
    modules = Path(signal_stage.__file__).parent.glob("*.py")
    assert sorted(path.stem for path in modules if "\nSIGNAL = " in path.read_text(encoding="utf-8")) == sorted(SIGNALS)
    assert [find_signal(name).name for name in SIGNALS] == list(SIGNALS)


def test_unknown_names_and_missing_rollouts_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, 4)
    with pytest.raises(InputError, match=r"signal angel: unknown \(did you mean angle\?\); known are perplexity"):
        signal(run, ["angel"])
    with pytest.raises(RunError, match=r"learnalign rollout .* or .*data\.solution"):
        signal(run, ["perplexity"])


def test_prompts_without_a_value_have_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, 12, **SOLUTION)
    prompts = load_prompts(run)
    tokenizer = load_tokenizer(run.config)
    lengths = [len(prompt_ids(tokenizer, prompt.messages)) for prompt in prompts]
    monkeypatch.setattr("learnalign.signals.angle.context_length", lambda model: min(lengths))
    (result,) = signal(run, ["angle"])
    assert result.skipped == {"longer than the model's context": sum(length > min(lengths) for length in lengths)}
