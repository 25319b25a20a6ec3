"""Makes the embedded model, its tokenizer, the pool and the test set: `python -m learnalign.demo.train [DIR]`.

A byte-level BPE tokenizer with single digits and ChatML, and a small Llama that learns to answer like the careless
pupil of `questions.py`. Steps and seed are fixed and one thread computes, so a machine makes the same files every time,
in about ten minutes.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from learnalign import demo
from learnalign.demo.questions import DIGIT_KINDS, KINDS, Question, attempt, draw, questions

SEED = 0
STEPS = 2000
BATCH = 64
LEARNING_RATE = 4e-3
VOCABULARY = 300
POOL_COUNTS = {
    "digit_sum": 30,
    "digit_product": 30,
    "sum": 60,
    "difference": 55,
    "chain": 55,
    "product": 50,
    "story": 50,
    "long_product": 40,
}
TEST_COUNTS = {kind: count // 2 + 2 for kind, count in POOL_COUNTS.items()}
IGNORED = -100  # label of a position without loss
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pool_and_test() -> tuple[list[Question], list[Question]]:
    """Draw the pool and the held-out test set: different texts, always the same."""
    rng, taken = random.Random(SEED), set[str]()
    return questions(POOL_COUNTS, rng, taken), questions(TEST_COUNTS, rng, taken)


def write_questions(path: Path, rows: Sequence[Question]) -> None:
    """Write one JSON object per line: question, answer, solution, kind."""
    lines = [
        json.dumps({"question": row.text, "answer": str(row.answer), "solution": row.solution, "kind": row.kind})
        for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of `VOCABULARY` tokens: one token per digit, ChatML, end of text `<|im_end|>`."""
    rng = random.Random(SEED)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    drawn = [draw(kind, rng) for _ in range(500) for kind in KINDS]
    roles = ["user\n", "assistant\n", "system\n"] * 500
    tokenizer.train_from_iterator([text for q in drawn for text in (q.text, q.solution)] + roles, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Build the untrained Llama: 4 layers of width 128, head dimension 32 (the smallest for vLLM on a CPU)."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=304,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, held_out: set[str], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (token ids, labels), both [size, T], of the pupil's answers without end; the loss is on the completions.

    Args:
        held_out: texts of the pool and the test set, never shown, except sums and products of one digit: there are only
            a hundred of each.
    """
    rng = random.Random(SEED + 1)
    while True:
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        while len(ids) < size:
            question = draw(rng.choice(KINDS), rng)
            if question.text in held_out and question.kind not in DIGIT_KINDS:
                continue
            messages = [{"role": "user", "content": question.text}]
            prompt = tokenizer.encode(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
            answer = tokenizer.encode(attempt(question, rng) + tokenizer.eos_token)
            ids.append(prompt + answer)
            labels.append([IGNORED] * len(prompt) + answer)
        yield _padded(ids, tokenizer.pad_token_id), _padded(labels, IGNORED)


def _padded(rows: list[list[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def fit(model: LlamaForCausalLM, examples: Iterator[tuple[Tensor, Tensor]], steps: int) -> None:
    """Train by AdamW with a short warmup and linear decay to 0; prints a line on stderr every hundred steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 50, 1.0) * (1 - step / steps)
    )
    started = time.monotonic()
    model.train()
    for step in range(steps):
        ids, labels = next(examples)
        # Padding is on the right: no token before it attends to it, so no mask is needed.
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            seconds = time.monotonic() - started
            print(f"step {step + 1} of {steps}, loss {loss.item():.4f}, {seconds:.0f} s", file=sys.stderr)


def main() -> None:
    """Train, and write model/, pool.jsonl and test.jsonl to a folder (default: the package)."""
    parser = argparse.ArgumentParser(prog="python -m learnalign.demo.train", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=demo.path(), help="output folder (the package)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    pool, test = pool_and_test()
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    fit(model, batches(tokenizer, {row.text for row in pool + test}, BATCH), arguments.steps)

    arguments.directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(arguments.directory / demo.MODEL.name)
    tokenizer.save_pretrained(arguments.directory / demo.MODEL.name)
    write_questions(arguments.directory / demo.POOL.name, pool)
    write_questions(arguments.directory / demo.TEST.name, test)


if __name__ == "__main__":
    main()
