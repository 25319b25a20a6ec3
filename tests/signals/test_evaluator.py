"""Perplexity against EleutherAI's lm-evaluation-harness, if it is installed (`pip install lm-eval`)."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from learnalign.policy import load_policy, load_tokenizer, prompt_ids
from learnalign.prompts import load_prompts
from learnalign.signals import signal
from tests.tiny import make_run


def test_perplexity_equals_the_harness_log_likelihoods(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed; skips the comparison with its log-likelihoods")
    from lm_eval.models.huggingface import HFLM

    run = make_run(tmp_path, 8, data={"solution": "answer"})
    signal(run, ["perplexity"])
    tokenizer, prompts = load_tokenizer(run.config), load_prompts(run)
    harness = HFLM(pretrained=load_policy(run), tokenizer=tokenizer, batch_size=3)
    # by tokens: given text, the harness counts the template's closing newline as part of the answer
    requests = [
        ((prompt.id, prompt.answer), prompt_ids(tokenizer, prompt.messages), tokenizer(prompt.answer)["input_ids"])
        for prompt in prompts
    ]
    totals = [total for total, _ in harness._loglikelihood_tokens(requests, disable_tqdm=True)]
    expected = [math.exp(-total / len(answer)) for total, (_, _, answer) in zip(totals, requests, strict=True)]
    values = pq.read_table(run.signal_file("perplexity"))["value"].to_pylist()
    assert values == pytest.approx(expected, rel=1e-5)
