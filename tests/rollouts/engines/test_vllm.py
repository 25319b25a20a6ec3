"""The vllm engine on the real vLLM (its CPU build, or a GPU's): tokens, seeds, processes, errors."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from learnalign.config import Config
from learnalign.errors import InputError, RunError
from learnalign.rollouts import Engine, Request, Sampling, load_rollouts, open_engine, rollout
from learnalign.rollouts.engines import vllm
from learnalign.rollouts.engines.contract import stop_ids
from learnalign.rollouts.engines.vllm import _of_replica
from learnalign.rollouts.engines.vllm_settings import engine_arguments, environment, explain
from tests.processes import children
from tests.rollouts.engines.requests import ROOM, greedy, most_probable, requests, save_adapter
from tests.tiny import make_config, make_run

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    # So few tokens a step that prompts would be cut in two, which seeded sampling on a CPU must not see.
    rollout = {"engine": "vllm", "vllm_seeds": "per-sample", "vllm": {"max_num_batched_tokens": 256}}
    return make_config(tmp_path_factory.mktemp("vllm"), kind="qwen2", rollout=rollout)


@pytest.fixture(scope="module")
def engine(config: Config) -> Iterator[Engine]:
    with open_engine(config, config.model.name, 200) as opened:
        yield opened


@needs_vllm
def test_greedy_tokens_are_those_of_generate(config: Config, engine: Engine) -> None:
    asked = [Request(request.id, request.prompt_ids, [0]) for request in requests(config)]
    answers = engine.generate(asked, Sampling(ROOM, 0))
    assert {id: group[0].completion_ids for id, group in answers.items()} == greedy(config, asked)


@needs_vllm
def test_seeds_decide_and_answers_come_back_by_id(config: Config, engine: Engine) -> None:
    asked = requests(config)
    counts: list[float] = []
    first = engine.generate(asked, Sampling(ROOM), ended=counts.append)
    again = engine.generate(asked[::-1], Sampling(ROOM))
    assert list(first) == [request.id for request in asked]
    assert list(again) == [request.id for request in asked[::-1]]
    assert first == again
    assert len({tuple(completion.completion_ids) for group in first.values() for completion in group}) == 48
    assert sum(counts) == 48


@pytest.mark.slow
@needs_vllm
def test_without_seeds_a_prompt_is_one_request_whose_completions_differ(config: Config) -> None:
    asked = requests(config)
    settings = config.rollout.model_copy(update={"vllm_seeds": "engine"})
    counts: list[float] = []
    with open_engine(config.model_copy(update={"rollout": settings}), config.model.name, 200) as engine:
        first, again = (engine.generate(asked, Sampling(ROOM), ended=counts.append) for _ in range(2))
    assert list(first) == [request.id for request in asked]
    assert [len(group) for group in first.values()] == [len(request.seeds) for request in asked]
    every = [tuple(one.completion_ids) for answer in (first, again) for group in answer.values() for one in group]
    assert len(set(every)) == sum(counts) == 96


@needs_vllm
def test_the_closing_eos_is_stored(config: Config, engine: Engine) -> None:
    stop = stop_ids(config, config.model.name)
    groups = engine.generate(requests(config, samples=8), Sampling(ROOM)).values()
    every = [completion for group in groups for completion in group]
    assert {completion.finish_reason for completion in every} == {"stop", "length"}
    for completion in every:
        *body, last = completion.completion_ids
        assert not stop & set(body)
        assert (last in stop) == (completion.finish_reason == "stop")


@needs_vllm
def test_the_context_bounds_prompt_and_completion(config: Config, engine: Engine) -> None:
    assert engine.context_length == 200
    prompt = [65] * 197
    answer = engine.generate([Request("long", prompt, [0])], Sampling(ROOM))["long"][0]
    assert 1 <= len(answer.completion_ids) <= 3


@pytest.mark.slow
@needs_vllm
def test_two_replicas_with_an_adapter_share_the_work(tmp_path: Path) -> None:
    config = make_config(tmp_path, rollout={"engine": "vllm", "vllm": {"data_parallel_size": 2}})
    merged = save_adapter(config, tmp_path / "adapter")
    asked = [Request(request.id, request.prompt_ids, [0]) for request in requests(config, 5)]
    before = children("vllm_child")
    with open_engine(config, str(tmp_path / "adapter"), 120) as engine:
        assert len(children("vllm_child") - before) == 2
        answers = engine.generate(asked, Sampling(12, 0))
    assert children("vllm_child") == before
    for request in asked:
        assert answers[request.id][0].completion_ids == most_probable(merged, request, 12)


def open_and_report(config: Config, sender: Any) -> None:
    """Open an engine and send its process ids, then hang."""
    with open_engine(config, config.model.name, 120):
        sender.send([child.pid for child in children("vllm_child")])
        time.sleep(600)


@pytest.mark.slow
@needs_vllm
def test_the_engine_ends_when_its_parent_is_killed(config: Config) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=open_and_report, args=(config, sender))
    process.start()
    assert receiver.poll(120)
    pids = receiver.recv()
    assert pids
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "vLLM lives on without its parent"
        time.sleep(0.2)


@needs_vllm
@pytest.mark.slow
def test_a_wrong_argument_is_reported_with_ways_out(config: Config) -> None:
    before = children("vllm_child")
    wrong = config.model_copy(update={"rollout": config.rollout.model_copy(update={"vllm": {"max_num_sequences": 4}})})
    with (
        pytest.raises(RunError, match=r"unexpected keyword argument 'max_num_sequences'[\s\S]*remove the wrong one"),
        open_engine(wrong, wrong.model.name, 120),
    ):
        pass
    assert children("vllm_child") == before


@pytest.mark.slow
@needs_vllm
def test_an_engine_that_dies_at_work_is_an_error(config: Config) -> None:
    before = children("vllm_child")
    with pytest.raises(RunError, match="its process ended"), open_engine(config, config.model.name, 120) as engine:
        (children("vllm_child") - before).pop().kill()
        engine.generate(requests(config, 1), Sampling(4))


@pytest.mark.parametrize(
    ("log", "words", "way"),
    [
        ("INFO ok\nValueError: Head size 16 is not supported by it\n", "Head size 16", "rollout.engine=transformers"),
        ("x\ntorch.OutOfMemoryError: CUDA out of memory. Tried\nbye\n", "CUDA out of memory", "gpu_memory_utilization"),
        (
            "pydantic.ValidationError: 1 error\n  max_model_len (9) is greater\n",
            "(9) is greater",
            "max_model_len=TOKENS",
        ),
        ("Killed\n", "Killed", "rollout.vllm"),
        ("", "none", "rollout.vllm"),
    ],
)
def test_the_last_error_of_the_log_is_explained(log: str, words: str, way: str) -> None:
    explanation = explain(log)
    assert words in explanation
    assert way in explanation.split("Ways out:")[1]


def test_float32_checkpoints_stay_float32_and_options_pass_through(tmp_path: Path) -> None:
    config = make_config(tmp_path, rollout={"vllm": {"tensor_parallel_size": 2, "max_model_len": 99}})
    arguments = engine_arguments(config, config.model.name, 120)
    assert arguments["dtype"] == "float32"  # vLLM's own auto makes it half precision
    assert (arguments["tensor_parallel_size"], arguments["max_model_len"]) == (2, 99)
    assert arguments["enable_prefix_caching"]
    assert engine_arguments(make_config(tmp_path), config.model.name, None)["max_model_len"] == 512


@pytest.mark.parametrize(("rank", "limit"), [(1, 1), (4, 8), (65, 128)])
def test_the_rank_limit_fits_the_adapter(tmp_path: Path, rank: int, limit: int) -> None:
    config = make_config(tmp_path)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(f'{{"r": {rank}}}')
    arguments = engine_arguments(config, str(adapter), 64)
    assert (arguments["enable_lora"], arguments["max_lora_rank"], arguments["model"]) == (
        True,
        limit,
        config.model.name,
    )
    (adapter / "adapter_config.json").write_text('{"r": 1000}')
    with pytest.raises(InputError, match="up to 512"):
        engine_arguments(config, str(adapter), 64)


def test_replicas_get_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    arguments = {"model": "some/model", "tensor_parallel_size": 2}
    assert [environment(arguments, i, 2)["CUDA_VISIBLE_DEVICES"] for i in (0, 1)] == ["4,5", "6,7"]
    assert environment(arguments, 0, 1)["CUDA_VISIBLE_DEVICES"] == "4,5,6,7"
    with pytest.raises(InputError, match="3 replicas of 2 GPUs each need 6, 4 are visible"):
        environment(arguments, 2, 3)


def test_each_replica_is_a_tensor_parallel_engine_on_its_own_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[dict[str, Any], str]] = []

    class Started(contextlib.nullcontext):  # type: ignore[type-arg]
        def __init__(self, options: dict[str, Any], environment: dict[str, str]) -> None:
            super().__init__(self)
            started.append((options["arguments"], environment["CUDA_VISIBLE_DEVICES"]))

        def wait_until_ready(self) -> tuple[int, int]:
            return 100, 64

    config = make_config(tmp_path, rollout={"vllm": {"tensor_parallel_size": 2, "data_parallel_size": 2}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(vllm, "Replica", Started)
    monkeypatch.setattr(vllm, "engine_arguments", lambda *_: dict(config.rollout.vllm, model="some/model", seed=0))
    with vllm.VllmEngine(config, config.model.name) as engine:
        assert [devices for _, devices in started] == ["0,1", "2,3"]
        assert (engine.context_length, engine.wanted) == (100, 2 * 2 * 64)
    for number, (arguments, _) in enumerate(started):
        assert arguments == {
            "model": "some/model",
            "seed": number,
            "tensor_parallel_size": 2,
        }  # and no data parallelism in it


def test_replicas_draw_other_numbers(tmp_path: Path) -> None:
    for seed, given in ((7, {}), (0, {"seed": None})):
        config = make_config(tmp_path, seed=7, rollout={"vllm": given})
        options = {"arguments": engine_arguments(config, config.model.name, 120), "stop": [0]}
        assert [_of_replica(options, i)["arguments"]["seed"] for i in (0, 1)] == [seed, seed + 1]


def test_the_users_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    assert environment({"model": "m"}, 0, 1)["VLLM_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.slow
@needs_vllm
def test_the_stage_samples_with_vllm(tmp_path: Path) -> None:
    run = make_run(tmp_path, rollout={"engine": "vllm"})
    assert rollout(run).counts["samples"] == 48
    assert run.read_record()["stages"]["rollout"]["engine"] == "vllm"
    assert {len(one.completion_ids) for shard in run.shards() for one in load_rollouts(run, shard)} <= set(range(1, 13))


@pytest.mark.slow
@needs_vllm
def test_an_interrupted_engine_ends_at_once(config: Config) -> None:
    before = children("vllm_child")
    with open_engine(config, config.model.name, 250) as engine:
        replica = engine._replicas[0]  # type: ignore[attr-defined]
        job = [[request.id, list(request.prompt_ids), list(request.seeds)] for request in requests(config, 12, 200)]
        replica._send({"job": 0, "requests": job, "sampling": asdict(Sampling(200))})
    assert children("vllm_child") == before
    assert replica._process.returncode == 0  # by itself, not killed after END_LIMIT
