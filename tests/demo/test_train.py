"""The training script makes the embedded files, and the same ones every time."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from learnalign import demo
from learnalign.demo import train
from learnalign.demo.questions import DIGIT_KINDS, Question


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(demo.MODEL)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(demo.MODEL).eval()


def decoded(tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor) -> str:
    return str(tokenizer.decode(ids))


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_seed_gives_the_embedded_pool_and_test_set(tmp_path: Path) -> None:
    for embedded, drawn in zip((demo.POOL, demo.TEST), train.pool_and_test(), strict=True):
        train.write_questions(tmp_path / "again.jsonl", drawn)
        assert (tmp_path / "again.jsonl").read_bytes() == embedded.read_bytes()


def test_pool_and_test_set_share_no_question() -> None:
    pool, test = ([row["question"] for row in rows(path)] for path in (demo.POOL, demo.TEST))
    assert len({*pool, *test}) == len(pool) + len(test)
    assert 300 <= len(pool) <= 400
    assert len(test) == 200


def test_the_embedded_tokenizer_is_the_built_one(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.get_vocab() == train.build_tokenizer().get_vocab()


@pytest.mark.parametrize("text", ["What is 47 + 58?", r"7+8=15, 4+5+1=10. \boxed{105}", "  naïve\n\t数学 🙂 x² "])
def test_the_tokenizer_decodes_any_text_unchanged(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_digit_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    assert [token for token in tokenizer.tokenize("a1234 56=7,890") if any(map(str.isdigit, token))] == list(
        "1234567890"
    )
    assert not [token for token in tokenizer.get_vocab() if len(token) > 1 and any(map(str.isdecimal, token))]


def test_the_template_is_chatml_and_ends_with_the_generation_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "system", "content": "Add."}, {"role": "user", "content": "1 + 1?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.encode(text)
    assert [ids.count(tokenizer.convert_tokens_to_ids(mark)) for mark in ("<|im_start|>", "<|im_end|>")] == [3, 2]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)


def test_the_model_is_small_and_fits_its_tokenizer(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    assert 700_000 < sum(weight.numel() for weight in model.parameters()) < 800_000
    assert sum(file.stat().st_size for file in demo.MODEL.iterdir()) < 3.1e6
    assert model.config.head_dim == 32
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_model_solves_one_digit_sums_and_never_a_long_product(
    model: Any, tokenizer: PreTrainedTokenizerFast
) -> None:
    solved: dict[str, list[bool]] = {"digit_sum": [], "long_product": []}
    for row in rows(demo.TEST):
        if row["kind"] in solved:
            messages = [{"role": "user", "content": row["question"]}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            prompt = torch.tensor([tokenizer.encode(text)])
            with torch.no_grad():
                ids = model.generate(prompt, do_sample=False, max_new_tokens=48)[0, prompt.shape[1] :]
            assert ids[-1] == tokenizer.eos_token_id
            solved[row["kind"]].append(f"boxed{{{row['answer']}}}" in tokenizer.decode(ids))
    assert all(solved["digit_sum"])
    assert not any(solved["long_product"])


def test_training_shows_no_pool_or_test_question_except_those_of_one_digit(tokenizer: PreTrainedTokenizerFast) -> None:
    held_out: list[Question] = [row for part in train.pool_and_test() for row in part]
    unseen = [f"user\n{row.text}<" for row in held_out if row.kind not in DIGIT_KINDS]
    examples = train.batches(tokenizer, {row.text for row in held_out}, 64)
    shown = "".join(decoded(tokenizer, ids.flatten()) for ids, _ in itertools.islice(examples, 20))
    assert shown.count("user\n") == 64 * 20
    assert not [text for text in unseen if text in shown]


def test_the_loss_is_on_the_completions_only(tokenizer: PreTrainedTokenizerFast) -> None:
    ids, labels = next(train.batches(tokenizer, set(), 16))
    for row, label in zip(ids, labels, strict=True):
        text = decoded(tokenizer, row[label != train.IGNORED])
        assert text.endswith("}<|im_end|>")
        assert "assistant" not in text
        assert decoded(tokenizer, row[row != tokenizer.pad_token_id]).endswith(f"assistant\n{text}")


def test_training_again_gives_the_same_weights(tokenizer: PreTrainedTokenizerFast) -> None:
    def weights() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = train.build_model(tokenizer)
        train.fit(model, train.batches(tokenizer, set(), 8), steps=3)
        return [weight.detach() for weight in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(weights(), weights(), strict=True))
