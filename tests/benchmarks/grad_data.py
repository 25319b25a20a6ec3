"""Models, samples, machine and memory for the gradient benchmarks."""

from __future__ import annotations

import ctypes
import datetime
import json
import platform
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from learnalign.gradients import Sample, UsedRollout
from learnalign.rundir.machine import describe_machine, versions


def load_model(path: str, dtype: torch.dtype, attn: str = "sdpa") -> nn.Module:
    """A frozen model in evaluation mode."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation=attn)
    return model.eval().requires_grad_(False)


def gsm8k_samples(model_path: str, data_path: str, count: int) -> list[Sample]:
    """GSM8K questions as prompts and their worked solutions as completions, with advantage 1."""
    file = Path(data_path) / "train.jsonl" if Path(data_path).is_dir() else Path(data_path)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    samples = []
    for i, line in enumerate(file.read_text(encoding="utf-8").splitlines()[:count]):
        row = json.loads(line)
        messages = [{"role": "user", "content": row["question"]}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt, answer = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, row["answer"]))
        samples.append(Sample(str(i), prompt, [UsedRollout([*answer, tokenizer.eos_token_id], 1.0)]))
    return samples


def count_positions(samples: list[Sample]) -> int:
    """Positions a model is fed for these samples, without padding."""
    return sum(len(s.prompt_ids) + len(s.rollouts[0].token_ids) - 1 for s in samples)


def about(**sizes: Any) -> dict[str, Any]:
    """Date, machine, versions and sizes, for the head of a result file."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {**describe_machine(), "processor": _processor(), "threads": torch.get_num_threads()},
        "versions": {name: value for name, value in versions().items() if name != "git_revision"},
        "sizes": sizes,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


class PeakMemory:
    """Peak resident memory of a block over what was there before, in GB (Linux)."""

    def __enter__(self) -> PeakMemory:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        self.gigabytes = round((_status("VmHWM") - self._before) / 1e6, 3)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
