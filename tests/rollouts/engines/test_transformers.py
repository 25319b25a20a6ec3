"""The transformers engine: generate's tokens, the model's distribution, and the same tokens in every batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from learnalign.config import Config
from learnalign.errors import InputError, RunError
from learnalign.policy import load_model, load_tokenizer
from learnalign.progress import Advance
from learnalign.rollouts import Completion, Request, Sampling
from learnalign.rollouts.engines import sampler
from learnalign.rollouts.engines.contract import stop_ids
from learnalign.rollouts.engines.transformers import TransformersEngine
from tests.rollouts.engines.requests import ROOM, greedy, most_probable, requests, save_adapter
from tests.tiny import make_config


@pytest.fixture(scope="module", params=[pytest.param("llama", marks=pytest.mark.slow), "qwen2"])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make_config(tmp_path_factory.mktemp("engine"), kind=request.param)


@pytest.fixture
def engine(config: Config) -> Iterator[TransformersEngine]:
    with TransformersEngine(config, config.model.name) as opened:
        yield opened


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 3, 64])
def test_greedy_tokens_are_those_of_generate(
    config: Config, engine: TransformersEngine, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sampler._ROWS, "cpu", rows)
    asked = [Request(request.id, request.prompt_ids, [0]) for request in requests(config)]
    answers = engine.generate(asked, Sampling(ROOM, 0))
    assert {id: group[0].completion_ids for id, group in answers.items()} == greedy(config, asked)


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 5, 64])
def test_a_seed_gives_the_same_tokens_whatever_the_batch(
    config: Config, engine: TransformersEngine, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(config)
    alone: dict[str, list[Completion]] = {}
    for request in asked:
        alone |= engine.generate([request], Sampling(ROOM))
    monkeypatch.setitem(sampler._ROWS, "cpu", rows)
    assert engine.generate(asked[::-1], Sampling(ROOM)) == alone


def test_completions_end_with_eos_or_at_the_limit(config: Config, engine: TransformersEngine) -> None:
    stop = stop_ids(config, config.model.name)
    groups = engine.generate(requests(config, samples=8), Sampling(ROOM)).values()
    reasons = Counter(completion.finish_reason for group in groups for completion in group)
    assert reasons["stop"] > 0
    assert reasons["length"] > 0
    for completion in (completion for group in groups for completion in group):
        *body, last = completion.completion_ids
        assert not stop & set(body)
        assert (last in stop) == (completion.finish_reason == "stop")
        assert completion.finish_reason == "stop" or len(completion.completion_ids) == ROOM


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_sampled_tokens_follow_the_models_probabilities(
    config: Config, engine: TransformersEngine, temperature: float
) -> None:
    prompt = list(requests(config, 1)[0].prompt_ids)
    count = 20_000
    group = engine.generate([Request("p", prompt, list(range(count)))], Sampling(2, temperature))["p"]
    model = load_model(config)
    with torch.inference_mode():
        first = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].double() / temperature, -1)
        best = int(first.argmax())
        second = torch.softmax(model(torch.tensor([[*prompt, best]])).logits[0, -1].double() / temperature, -1)
    after = [c.completion_ids[1] for c in group if c.completion_ids[0] == best]
    for tokens, expected in (([c.completion_ids[0] for c in group], first), (after, second)):
        bins = (expected.cumsum(0) * 10).long().clamp(max=9)  # ten bins of about equal probability
        wanted = torch.zeros(10, dtype=torch.float64).index_add(0, bins, expected) * len(tokens)
        counts = torch.bincount(bins[torch.tensor(tokens)], minlength=10)
        full = wanted > 0
        assert ((counts - wanted)[full] ** 2 / wanted[full]).sum() < 27.9  # χ² with 9 degrees of freedom, p = 0.001
        assert len(tokens) > 200


def test_prompt_and_completion_stay_within_the_context(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    request = requests(config, 1)[0]
    longest = len(request.prompt_ids) + 3
    with TransformersEngine(config, config.model.name, longest) as engine:
        assert engine.context_length == longest
        groups = engine.generate([request], Sampling(ROOM))
    assert max(len(completion.completion_ids) for completion in groups[request.id]) == 3


def test_an_adapter_is_the_policy(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    merged = save_adapter(config, tmp_path / "adapter")
    asked = [Request(request.id, request.prompt_ids, [0]) for request in requests(config, 4)]
    with TransformersEngine(config, str(tmp_path / "adapter")) as engine:
        answers = engine.generate(asked, Sampling(12, 0))
    for request in asked:
        assert answers[request.id][0].completion_ids == most_probable(merged, request, 12)
    assert {id: group[0].completion_ids for id, group in answers.items()} != greedy(config, asked, 12)


def test_out_of_memory_halves_the_batch_and_loses_nothing(
    config: Config, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(config, 6)
    expected = engine.generate(asked, Sampling(ROOM))
    rows: list[int] = []
    counts: list[float] = []
    run = sampler.Sampler._run

    def short_of_memory(self: sampler.Sampler, groups: list, limits: sampler.Limits, ended: Advance) -> None:
        rows.append(limits.rows)
        run(self, groups[:2] if limits.rows > 3 else groups, limits, ended)
        if limits.rows > 3:
            raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(sampler.Sampler, "_run", short_of_memory)
    assert engine.generate(asked, Sampling(ROOM), ended=counts.append) == expected
    assert rows[:4] == [24, 12, 6, 3] or rows[:3] == [24, 12, 6]
    assert sum(counts) == sum(map(len, expected.values()))  # a completion that is drawn again counts once


def test_one_row_too_large_is_an_error_with_ways_out(
    config: Config, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(sampler.Sampler, "_run", out_of_memory)
    with pytest.raises(RunError, match=r"rollout\.max_completion_length"):
        engine.generate(requests(config, 1), Sampling(4))


def test_a_window_shorter_than_the_context_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path, kind="qwen2")
    file = tmp_path / "model" / "config.json"
    text = file.read_text().replace('"use_sliding_window": false', '"use_sliding_window": true')
    text = text.replace('"sliding_window": null', '"sliding_window": 16').replace("full_attention", "sliding_attention")
    file.write_text(text)
    with pytest.raises(RunError, match="sliding window of 16 tokens"), TransformersEngine(config, config.model.name):
        pass


def test_a_prompt_without_room_for_an_answer_is_refused(engine: TransformersEngine) -> None:
    for length in (0, engine.context_length):
        with pytest.raises(InputError, match="prompt p has"):
            engine.generate([Request("p", [65] * length, [0])], Sampling(4))


SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["qwen3", "qwen3_moe", "mistral", "mixtral", "gemma2", "phi3", "olmo2", "granite", "gpt_neox", "smollm3", "glm4"],
)
def test_other_families_give_the_tokens_of_generate(tmp_path: Path, family: str) -> None:
    config = make_config(tmp_path)
    tokenizer = load_tokenizer(config)
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    known = AutoConfig.for_model(family)
    shape = {key: value for key, value in SHAPE.items() if hasattr(known, key)}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **shape, **ids, bos_token_id=None), dtype=torch.float32
    )
    (tmp_path / "model" / "generation_config.json").unlink()
    model.save_pretrained(tmp_path / "model")
    asked = [Request(request.id, request.prompt_ids, [0]) for request in requests(config, 6)]
    with TransformersEngine(config, config.model.name, 100) as engine:
        answers = engine.generate(asked, Sampling(24, 0))
    assert {id: group[0].completion_ids for id, group in answers.items()} == greedy(config, asked, 24)


def test_a_soft_cap_that_sdpa_would_drop_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma2", **SHAPE, vocab_size=300)).save_pretrained(
        tmp_path / "model"
    )
    eager = config.model_copy(update={"model": config.model.model_copy(update={"attn": "eager"})})
    with pytest.raises(RunError, match="soft cap"), TransformersEngine(eager, eager.model.name, 100):
        pass
