"""`learnalign plan`: work, hours, disk and memory before anything is there; published rates with their sources."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from learnalign import plan as plan_module
from learnalign.ahead import plan_ahead
from learnalign.config import Config, build_config, dump_config, load_config
from learnalign.errors import InputError
from learnalign.limits import strains
from learnalign.plan import Plan, PoolSize, Work, work
from learnalign.policy import model_size
from learnalign.policy.size import named_parameters
from learnalign.published import published_rates
from learnalign.rates import estimate_published
from learnalign.rollouts import rollout
from learnalign.rundir import RunDir
from learnalign_cli import planning
from learnalign_cli.common import size_text
from learnalign_cli.plan import plan as command
from tests.tiny import make_config, make_run, save_model

DAPO = load_config("dapo-math-17k")
HOURS = {"warmup": 2 + 2 / 60, "rollout": 2 + 41 / 60, "grad": 4 + 12 / 60}  # LearnAlign, Table 10


def stage(planned: Plan, name: str) -> Work:
    return next(one for one in planned.stages if one.stage == name)


def hours(planned: Plan, name: str) -> tuple[float, float]:
    time = stage(planned, name).time
    assert time is not None
    return time.low / 3600, time.high / 3600


def changed(config: Config, **sections: Any) -> Config:
    settings = config.model_dump(mode="json")
    return build_config({**settings, **{name: {**settings[name], **value} for name, value in sections.items()}})


@pytest.mark.parametrize("name", ["warmup", "rollout", "grad", "train"])
def test_the_amounts_of_the_papers_table_are_counted_as_a_plan_counts_them(name: str) -> None:
    pool = PoolSize(1000, 1000 * 150) if name in ("warmup", "train") else PoolSize(17_000, 17_000 * 150)
    config = changed(DAPO, train={"steps": 250, "keep_checkpoints": 1})
    ours = [rate for rate in published_rates(name) if rate.source.startswith("LearnAlign")]
    assert ours[0].amount == work(name, config, pool).tokens
    assert ours[0].counted == "longest"
    if name in HOURS:
        assert ours[0].seconds == pytest.approx(3600 * HOURS[name])


def test_the_plan_of_the_papers_run_holds_the_hours_that_it_took() -> None:
    planned = plan_ahead(DAPO, rows=17_000)
    for name, published in HOURS.items():
        low, high = hours(planned, name)
        assert low < published < high
    assert hours(planned, "select")[1] < 0.02  # the paper's took 13 s
    assert planned.time.low == pytest.approx(sum(one.time.low for one in planned.stages))
    assert [one.stage for one in planned.stages] == ["warmup", "rollout", "grad", "select"]


def test_rows_replace_a_pool_that_is_not_there_and_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("read_pool", "load_tokenizer"):
        monkeypatch.setattr(plan_module, name, None)
    planned = plan_ahead(DAPO, rows=1000)
    assert (planned.rows, planned.prompts, planned.prompt_tokens) == (1000, 1000, 150_000)
    assert planned.parameters == 3_000_000_000
    assert any("150 tokens a prompt" in line for line in planned.assumed)
    assert any("by the model's name" in line for line in planned.assumed)


def test_without_rows_a_missing_pool_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    config = changed(make_config(tmp_path), data={"path": str(tmp_path / "none.jsonl")})
    with pytest.raises(InputError, match=r"none\.jsonl.*--rows N"):
        plan_ahead(config)


def test_a_model_whose_size_nothing_tells_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"someone/wise: .*its size cannot be told.*model\.name=DIR"):
        plan_ahead(changed(DAPO, model={"name": "someone/wise"}), rows=10)
    with pytest.raises(InputError, match="no such directory"):
        plan_ahead(changed(DAPO, model={"name": str(tmp_path / "model-3B")}), rows=10)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", 500_000_000),
        ("HuggingFaceTB/SmolLM2-135M", 135_000_000),
        ("mistralai/Mixtral-8x7B-v0.1", 56_000_000_000),
        ("Qwen/Qwen3-30B-A3B", 30_000_000_000),
        ("lab70b/Qwen2.5-7B", 7_000_000_000),
        ("microsoft/phi-4", None),
        ("org/gpt2b", None),
    ],
)
def test_a_name_tells_the_parameters(name: str, parameters: int | None) -> None:
    assert named_parameters(name) == parameters


def test_gpus_share_rollout_and_grad_alone_and_no_more_than_there_are_shards() -> None:
    one, eight = (plan_ahead(DAPO, rows=17_000, gpus=count) for count in (1, 8))
    for name in ("rollout", "grad"):
        assert hours(one, name)[1] / 8 < hours(eight, name)[1] < hours(one, name)[1] / 7
    for name in ("warmup", "select"):
        assert hours(one, name) == hours(eight, name)
    three, four, thousand = (plan_ahead(DAPO, rows=1000, gpus=count) for count in (3, 4, 1024))  # four shards of 256
    assert hours(four, "rollout") == hours(thousand, "rollout")
    start, whole = 1 / 60, hours(plan_ahead(DAPO, rows=1000), "rollout")[1]
    assert hours(three, "rollout")[1] == pytest.approx(start + (whole - start) / 2)  # one of three has two shards


def test_the_shards_that_gpus_share_are_those_of_the_pool_whatever_a_cascade_keeps() -> None:
    config = changed(DAPO, grad={"cascade": {"keep": 1000}})
    one, many = (stage(plan_ahead(config, rows=100_000, gpus=count), "grad").time for count in (1, 391))
    assert one is not None
    assert many is not None
    assert many.high == pytest.approx(60 + (one.high - 60) / 391)


def test_a_limit_of_the_pool_counts_with_rows_too() -> None:
    planned = plan_ahead(changed(DAPO, data={"limit": 2000}), rows=10**6)
    assert (planned.rows, planned.prompts, stage(planned, "rollout").prompts) == (10**6, 2000, 2000)


def test_exact_alignments_read_every_token_twice_and_hold_the_mean_gradient() -> None:
    projected, exact = (
        stage(plan_ahead(changed(DAPO, grad={"projection": kind}), rows=1000), "grad")
        for kind in ("kronecker", "exact")
    )
    assert exact.tokens == 2 * projected.tokens
    assert exact.memory_bytes == (projected.memory_bytes or 0) + 4 * 3_000_000_000


def test_disk_holds_two_checkpoints_of_all_weights_while_a_training_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    """float32 weights and two moments each, the policy beside them; afterwards the policy with rollouts and gradients."""

    def disk(**sections: Any) -> str:
        command(config="dapo-math-17k", rows=1000, overrides=[f"{key}={value}" for key, value in sections.items()])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("all stages"))

    assert f", {3 * (2 * 12 + 4)} GB of disk at most" in disk()
    assert ", 12.1 GB of disk at most" in disk(**{"warmup.trainer": '{save_strategy: "no"}'})
    assert ", 12.1 GB of disk at most" in disk(
        **{"warmup.lora": "{r: 8}"}
    )  # an adapter is smaller, how much is not known
    completions, log_probs, policy = 1000 * 8 * 10_000_000 * 6 / 1e9, 1000 * 10_000_000 * 4 / 1e9, 12
    assert f", {completions + log_probs + policy:.0f} GB of disk" in disk(
        **{"rollout.max_completion_length": 10_000_000}
    )


def test_published_rates_are_scaled_by_parameters_and_say_so() -> None:
    one = replace(work("grad", DAPO, PoolSize(1000, 150_000)))
    same, double = (estimate_published(one, parameters) for parameters in (3_090_000_000, 6_180_000_000))
    assert same is not None
    assert double is not None
    assert (double.low / same.low, double.high / same.high) == (pytest.approx(2), pytest.approx(2))
    assert same.sources[0] == "LearnAlign, Table 10 (Qwen2.5-3B on one H100)"
    assert double.sources[0] == "LearnAlign, Table 10 (Qwen2.5-3B on one H100, × 2 for its parameters)"
    assert estimate_published(one, 1_000_000) is None
    assert estimate_published(replace(one, stage="rollout"), 40_000_000_000) is None


def test_a_rate_in_actual_tokens_takes_half_of_the_longest_completions() -> None:
    """bergson at 6.9B: 13,000 tokens a second; it is the fastest rate there."""
    one = work("grad", DAPO, PoolSize(1000, 150_000))
    time = estimate_published(one, 6_900_000_000)
    assert time is not None
    assert time.low * 1.5 == pytest.approx(one.tokens / 2 / 13_000)


def test_memory_holds_what_a_training_keeps_and_one_model_of_gradients() -> None:
    def memory(name: str, **sections: Any) -> float:
        return (stage(plan_ahead(changed(DAPO, **sections), rows=1000), name).memory_bytes or 0) / 3e9

    assert memory("warmup") == 20  # float32: weights, gradients, two moments, π_ref
    assert memory("warmup", warmup={"beta": 0.0}) == 16
    assert memory("warmup", warmup={"lora": {"r": 8}}) == 2
    assert memory("rollout") == 2
    assert memory("rollout", model={"dtype": "float32"}) == 4
    for sections in ({}, {"grad": {"beta": 0.0}}, {"warmup": {"size": 0}}, {"warmup": {"lora": {"r": 8}}}):
        assert memory("grad", **sections) == 2


def test_gradients_leave_the_references_log_probabilities_on_disk_where_beta_counts() -> None:
    def disk(**sections: Any) -> float:
        return (stage(plan_ahead(changed(DAPO, **sections), rows=1000), "grad").disk_bytes or 0) / 1000

    features, tokens = (
        8192 * 2 + 8192 * 2 * 8 * 4 / 1000,
        2048 * 4,
    )  # float16, and two sums in float64 of 4 shards; float32
    assert disk() == features + tokens
    assert disk(grad={"rollouts": "all"}) == features + 8 * tokens
    assert disk(grad={"beta": 0.0}) == disk(warmup={"size": 0}) == features


def test_a_config_json_tells_the_size_without_weights(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    size = model_size(config)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.bytes_each == 4
    assert size.cache_bytes == 2 * 2 * 1 * 32 * 4  # keys and values, layers, heads, width, bytes
    attention, feed_forward = (64 + 64) + 2 * (64 + 32) + (64 + 64), 3 * (64 + 96)
    assert size.activation_bytes == 2 * 2 * (attention + feed_forward) * 4
    planned = plan_ahead(config)
    longest = config.data.max_prompt_tokens + config.rollout.max_completion_length
    assert stage(planned, "rollout").memory_bytes == 4 * size.parameters + longest * size.cache_bytes
    assert stage(planned, "grad").memory_bytes == 4 * size.parameters + longest * size.activation_bytes
    assert planned.prompts == 12
    assert not any("name" in line for line in planned.assumed)


def with_grad(run: RunDir, seconds: float, **counts: int) -> RunDir:
    """The run with a record of rollouts and gradients."""
    entry = {"status": "done", "seconds": seconds, "fingerprint": "x", "settings": {}, "counts": counts}
    entry["rate"] = {"gradients_per_second": counts["features"] / seconds}
    record = run.read_record()
    machine = {**record["machine"], "cores": 96, "gpus": ["NVIDIA H100 80GB HBM3"] * 8}
    run._update(stages={**record["stages"], "grad": entry}, machine=machine)
    return run


def test_rates_measured_in_a_run_count_on_whatever_machine(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rollout(run)
    run = with_grad(run, 100.0, features=50, bad=0, solved=30, unsolved=20, tokens=1)
    planned = plan_ahead(run.config, rows=2000, run=run)
    time = stage(planned, "grad").time
    assert time is not None
    assert time.measured
    expected = 2000 / 0.5 * 0.5  # half of the prompts, half a gradient a second; of 100 s, 60 may have been the start
    assert (time.low, time.high) == (pytest.approx(0.4 * expected / 1.3), pytest.approx(1.3 * expected))
    assert time.sources == (
        f"measured in {run.path} on NVIDIA H100 80GB HBM3 in 1 min 40 s, where 50 % of the prompts could have a gradient",
    )
    for keep, gradients in ((200, 200), (1600, 1000)):  # of 1,000 that can have one
        cascaded = changed(run.config, grad={"cascade": {"keep": keep}})
        time = stage(plan_ahead(cascaded, rows=2000, run=run), "grad").time
        assert time is not None
        assert time.high == pytest.approx(1.3 * gradients / 0.5)
    time = stage(plan_ahead(changed(run.config, grad={"rollouts": "all"}), rows=2000, run=run), "grad").time
    assert time is not None
    assert time.high == pytest.approx(1.3 * expected * 4)  # completions of a gradient
    time = stage(planned, "rollout").time
    assert time is not None
    assert time.measured
    assert not any("0 < p < 1" in line or "half the longest" in line for line in planned.assumed)
    assert not stage(plan_ahead(run.config, rows=2000), "grad").time.measured


def test_rates_of_a_run_with_another_model_are_scaled_and_said_to_be(tmp_path: Path) -> None:
    run = with_grad(make_run(tmp_path), 100.0, features=50, bad=0, tokens=1)
    save_model(tmp_path / "larger", num_hidden_layers=8)
    larger = changed(run.config, model={"name": str(tmp_path / "larger")})
    factor = model_size(larger).parameters / model_size(run.config).parameters
    times = [stage(plan_ahead(config, rows=2000, run=run), "grad").time for config in (run.config, larger)]
    assert all(times)
    assert (times[1].low * times[1].high) ** 0.5 == pytest.approx(factor * (times[0].low * times[0].high) ** 0.5)
    assert times[1].high / times[1].low > times[0].high / times[0].low
    assert f"× {factor:.2g} for its parameters" in times[1].sources[0]


def test_rates_of_a_run_with_a_far_smaller_model_or_other_completions_are_not_taken_silently(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rollout(run)
    planned = plan_ahead(DAPO, rows=2000, run=run)
    assert stage(planned, "rollout").time == stage(plan_ahead(DAPO, rows=2000), "rollout").time
    assert any(line.startswith(f"nothing of the rates of {run.path}: this model has ") for line in planned.assumed)
    longer = changed(run.config, rollout={"max_completion_length": 4096})
    [line] = [line for line in plan_ahead(longer, rows=2000, run=run).assumed if "max_completion_length" in line]
    assert line.startswith(f"completions as long as those of {run.path}, whose rollout.max_completion_length is ")
    assert line.endswith("not 4,096")


def test_signals_that_a_cascade_or_a_method_reads_are_said_not_to_be_counted() -> None:
    def said(**sections: Any) -> list[str]:
        return [
            line for line in plan_ahead(changed(DAPO, **sections), rows=1000).assumed if "learnalign signal" in line
        ]

    assert said() == said(grad={"cascade": {"keep": 500}}) == []
    [line] = said(grad={"cascade": {"signal": "angle", "keep": 500}}, select={"method": "ifd"})
    assert line.startswith("the time of `learnalign signal DIR angle ifd` is not counted")


def test_each_worker_of_exact_gradients_has_sums_of_all_parameters_until_the_end() -> None:
    def most(projection: str) -> tuple[int, int]:
        planned = plan_ahead(changed(DAPO, grad={"projection": projection}), rows=1000, gpus=8)
        return planning._disk_of(stage(planned, "grad"), planned) or 0, planning._needed(planned)

    parameters = plan_ahead(DAPO, rows=1000).parameters or 0
    (features, _), (sums, needed) = most("kronecker"), most("exact")
    assert sums - 8 * 2 * 4 * parameters == pytest.approx(features - 1000 * (2 * 8192 - 40) - 4 * 2 * 8 * 8192)
    assert needed > sums > 64 * parameters


def test_hours_of_the_embedded_model_are_those_of_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    command(config="demo", gpus=2)
    said = capsys.readouterr().out
    assert " on 2 CPUs, " in said
    assert "GPU" not in said


def test_what_a_large_pool_strains_is_sorted_and_grows_with_it() -> None:
    small, large = (strains(DAPO, rows, rows) for rows in (1000, 10**9))
    assert all(strain.share < 1 for strain in small)
    assert [strain.share for strain in large] == sorted((strain.share for strain in large), reverse=True)
    features = next(strain for strain in large if strain.what == "disk for features")
    assert features.amount == 10**9 * 8192 * 2 + 3_906_250 * 8192 * 2 * 8  # float16, and two sums in float64 a shard
    coarser = strains(changed(DAPO, executor={"shard_size": 4096}), 10**9, 10**9)
    files = next(strain for strain in coarser if strain.unit == "files")
    assert files.amount == 2 * 244_141  # rollouts, and log π_ref beside them
    without = strains(changed(DAPO, grad={"beta": 0.0}), 10**9, 10**9)
    assert next(strain for strain in without if strain.unit == "files").amount == 10**9 // 256


def test_the_command_prints_each_stage_with_its_rate_and_what_does_not_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(config="dapo-math-17k", rows=17_000, gpus=8)
    said = capsys.readouterr().out
    for words in (
        "17,000 prompts on 8 GPUs",
        "rate of rollout: LearnAlign, Table 10",
        "rate of grad: bergson's documentation (6.9B on one GH200",
        "warmup is counted on one GPU (1.3 to 3 hours); accelerate launch shares it",
        "more GPUs do not help select (under 0.01 hours)",
        "assumed: every prompt has 0 < p < 1",
        "breaks first if the pool grows: ",
    ):
        assert words in said
    command(config="dapo-math-17k", rows=10**9, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["strains"][0]["amount"] > told["strains"][0]["limit"]
    assert told["time"]["low"] == pytest.approx(sum(one["time"]["low"] for one in told["stages"]))
    command(config="dapo-math-17k", rows=10**9)
    assert "breaks: memory of each process" in capsys.readouterr().out
    command(config="papers/learnalign-dapo-7b", rows=1000, gpus=64)
    said = capsys.readouterr().out
    assert "rollout and grad are 4 shards, and no more GPUs help" in said
    assert "warmup needs more than a GPU of 80 GB: 140 GB; what helps: accelerate launch with fsdp.yaml" in said
    assert "grad needs more" not in said
    command(config="gsm8k", rows=1000, gpus=8)  # rollouts of less than an hour
    assert " 0 to 0.2 " in capsys.readouterr().out


def test_a_run_directory_is_named_by_itself_or_by_its_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_grad(make_run(tmp_path), 100.0, features=50, bad=0, tokens=1)
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*")}
    command(run.path)
    by_itself = capsys.readouterr().out
    assert f"rate of grad: measured in {run.path}" in by_itself
    command(config=str(run.config_file))
    assert capsys.readouterr().out == by_itself
    (tmp_path / "other.yaml").write_text(dump_config(run.config))
    command(config=str(tmp_path / "other.yaml"))
    assert "measured in" not in capsys.readouterr().out.replace("measured with", "")
    assert {file: file.stat().st_mtime_ns for file in run.path.rglob("*")} == before
    with pytest.raises(InputError, match="give --config FILE, or a run directory"):
        command()


def test_a_dry_run_asks_for_no_disk_of_stages_that_are_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk(run: RunDir, free: int) -> list[str]:
        monkeypatch.setattr(planning, "free_bytes", lambda _: free)
        planning.show_work(run.config, False, ["rollout", "grad"], run=run)
        return [line for line in capsys.readouterr().out.splitlines() if "disk" in line and "│" not in line]

    run = make_run(tmp_path, grad={"dim": 64})
    completions = 12 * run.config.rollout.num_generations * run.config.rollout.max_completion_length * 6
    gradients = 12 * 64 * 2 + 3 * 64 * 2 * 8  # three shards
    few = max(completions, gradients)
    assert disk(run, few)[0].startswith("it may run out of disk")
    rollout(run)
    assert disk(run, few)[-1].startswith(f"disk: {size_text(gradients)} at most")
    assert not any("run out of disk" in line for line in disk(run, few))
