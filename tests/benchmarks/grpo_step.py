"""CPU seconds of a GRPO step on the embedded model against its bare arithmetic: `make bench-step`.

`ours` is a training by configs/demo.yaml (48 completions of at most 48 tokens a step), with everything that a step does:
sampling, verifying, log-probabilities, the update, metrics, checkpoints. `bare` is a plain loop over the same prompts and
completion lengths: it samples 48 rows to the longest length with a cache, runs the reference and the policy on padded rows,
and makes one update with AdamW. Both take turns within one process, one thread; CPU time is that of the process and its
children. The first step is left out. The result is printed and written to results/grpo_step.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import PreTrainedModel

from learnalign import RunDir, warmup
from learnalign.config import load_config
from learnalign.policy import load_model, load_tokenizer, prompt_ids
from learnalign.policy.parts import replaced
from learnalign.rundir.files import write_json
from learnalign.rundir.machine import describe_machine, versions
from learnalign.training import job
from learnalign.training.rewards import Rewards
from learnalign.training.trainer import Bookkeeping

RESULTS = Path(__file__).parent / "results" / "grpo_step.json"
Ids = list[int]


def cpu_seconds() -> float:
    """CPU time of this process and its children."""
    mine = psutil.Process()
    ended = mine.cpu_times()
    running = [process.cpu_times() for process in mine.children(recursive=True)]
    return ended.children_user + ended.children_system + sum(each.user + each.system for each in [ended, *running])


class Bare:
    """The arithmetic of a step."""

    def __init__(self, load: Callable[[], PreTrainedModel], rate: float, beta: float) -> None:
        self.policy, self.reference, self.beta = load().requires_grad_(), load(), beta
        self.optimiser = torch.optim.AdamW(self.policy.parameters(), lr=rate, weight_decay=0.0, fused=True)

    def step(self, prompts: Sequence[Ids], completions: Sequence[Ids]) -> None:
        """Sample as many tokens as the longest of `completions`, then update the policy on `completions`."""
        width, length = max(map(len, prompts)), max(map(len, completions))
        left = [[0] * (width - len(ids)) + ids for ids in prompts]
        seen = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
        self.sample(torch.tensor(left), seen, length)
        right = torch.tensor([ids + [0] * (length - len(ids)) for ids in completions])
        kept = torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in completions])
        rows, mask = torch.cat([torch.tensor(left), right], 1), torch.cat([seen, kept], 1)
        own = self.log_probs(self.policy, rows, mask, right)
        loss = -(own - own.detach()).exp() * torch.randn(len(rows), 1)
        if self.beta:
            with torch.no_grad():
                gap = self.log_probs(self.reference, rows, mask, right)
            loss = loss + self.beta * ((gap - own).exp() - (gap - own) - 1)
        ((loss * kept).sum(1) / kept.sum(1)).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()

    @torch.no_grad()
    def sample(self, ids: torch.Tensor, seen: torch.Tensor, length: int) -> None:
        cache = None
        for _ in range(length):
            output = self.policy(input_ids=ids, attention_mask=seen, past_key_values=cache, logits_to_keep=1)
            ids, cache = torch.multinomial(output.logits[:, -1].softmax(-1), 1), output.past_key_values
            seen = torch.cat([seen, torch.ones_like(ids)], 1)

    @staticmethod
    def log_probs(model: PreTrainedModel, rows: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        kept = labels.shape[1] + 1
        logits = model(input_ids=rows, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits[:, :-1]
        return logits.log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(2)


def measure(beta: float, steps: int, folder: Path) -> dict[str, Any]:
    """Mean CPU seconds of a step of both sides, and of a training of ours before its second step and after its last."""
    config = load_config("demo", [f"warmup.beta={beta}", f"warmup.steps={steps}"])
    tokenizer = load_tokenizer(config)
    bare = Bare(lambda: load_model(config), config.warmup.learning_rate, beta)
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    batch: list[tuple[Ids, Ids]] = []
    started = cpu_seconds()

    class Recorded(Rewards):
        def __call__(self, completion_ids: Sequence[Sequence[int]], index: Sequence[int], **more: Any) -> Any:
            asked = [prompt_ids(tokenizer, self.prompts[row].messages) for row in dict.fromkeys(index)]
            of_row = dict(zip(dict.fromkeys(index), asked, strict=True))
            batch[:] = [(of_row[row], list(ids)) for row, ids in zip(index, completion_ids, strict=True)]
            return super().__call__(completion_ids, index, **more)

    class Timed(Bookkeeping):
        def on_step_begin(self, *arguments: Any, **more: Any) -> None:
            """A bare step between two of ours: what ended before is the last step's, its checkpoint included."""
            nonlocal started
            seconds["ours"].append(cpu_seconds() - started)
            if batch:
                begun = cpu_seconds()
                prompts, completions = zip(*batch, strict=True)
                bare.step(prompts, completions)
                seconds["bare"].append(cpu_seconds() - begun)
            started = cpu_seconds()

    with replaced(job, "Bookkeeping", Timed), replaced(job, "Rewards", Recorded):
        warmup(RunDir.create(folder, config))
    before, _, *ours = seconds["ours"]
    compared = {"ours": sum(ours) / len(ours), "bare": sum(seconds["bare"][1:]) / len(seconds["bare"][1:])}
    return {
        "ratio": round(compared["ours"] / compared["bare"], 2),
        "cpu_seconds_per_step": {name: round(value, 3) for name, value in compared.items()},
        "cpu_seconds_before_the_first_step": round(before, 2),
        "cpu_seconds_after_the_last_but_one": round(cpu_seconds() - started, 2),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=21)
    parser.add_argument("-o", type=Path, default=RESULTS, dest="output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    imports = round(cpu_seconds(), 2)
    result: dict[str, Any] = {"sizes": {"steps": options.steps, "threads": 1}, "cpu_seconds_of_imports": imports}
    with tempfile.TemporaryDirectory() as folder:
        for beta in (0.04, 0.0):
            result[f"beta {beta}"] = measure(beta, options.steps, Path(folder) / str(beta))
    result |= {"machine": describe_machine(), "versions": versions()}
    print(json.dumps(result, indent=2))
    write_json(options.output, result)


if __name__ == "__main__":
    main()
