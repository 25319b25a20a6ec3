"""A tiny run's settings, and the commands that are attacked, as they follow one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SETTINGS: dict[str, Any] = {
    "model": {"name": "demo"},
    "data": {"path": "../pool.jsonl", "prompt": "question", "answer": "answer", "solution": "solution"},
    "verifier": "math",
    "warmup": {
        "size": 6,
        "num_train_epochs": 1,
        "batch_size": 12,
        "num_generations": 4,
        "learning_rate": 2e-4,
        "max_completion_length": 32,
    },
    "rollout": {"engine": "transformers", "num_generations": 4, "max_completion_length": 48},
    "grad": {"dim": 256, "width": 32},
    "select": {"size": 4},
    "train": {"steps": 6, "batch_size": 8, "num_generations": 4, "max_completion_length": 32},
    "eval": {"num_generations": 2},
    "executor": {"shard_size": 4},
}


@dataclass(frozen=True)
class Command:
    """A command line, the command it follows, the files that it reads, and the shards that it never makes twice."""

    line: str
    after: str | None = None
    reads: tuple[str, ...] = ()
    shards: str | None = None

    @property
    def overwrites(self) -> bool:
        return "--overwrite" in self.line


CONFIG = "--config ../config.yaml"
POLICY = "warmup/*"
COMMANDS = {  # `run` is the run directory, `..` the place's root
    "pool": Command(f"warmup run {CONFIG} --set warmup.size=0"),
    "warmup": Command(f"warmup run {CONFIG}"),
    "rollout": Command("rollout run", "warmup", ("prompts.parquet", POLICY), "rollouts/*"),
    "import": Command("rollout run --from ../completions.jsonl", "warmup", ("prompts.parquet", POLICY), "rollouts/*"),
    "grad": Command(
        "grad run", "rollout", ("prompts.parquet", POLICY, "rollouts/*", "success.parquet"), "gradients/part*"
    ),
    "exact": Command("grad run --set grad.projection=exact", "rollout", (POLICY, "rollouts/*", "success.parquet")),
    "signal": Command("signal run length perplexity angle", "grad", ("prompts.parquet", POLICY, "rollouts/*")),
    "select": Command("select run", "signal", ("prompts.parquet", "success.parquet", "gradients/*")),
    "compare": Command("compare run -n 4", "select", ("signals/*", "scores/*", "rollouts/*", "gradients/*")),
    "report": Command(
        "report run", "compare", ("prompts.parquet", "success.parquet", "rollouts/*", "gradients/*", "scores/*")
    ),
    "train": Command("train run --subset run/subset.jsonl --name t", "compare", ("subset.jsonl", POLICY)),
    "eval": Command(
        "eval run --data ../pool.jsonl --name e --policy train/t --set data.limit=8",
        "train",
        ("train/t/policy/*", "train/t/*"),
        "eval/e/rollouts/*",
    ),
    "select --overwrite": Command("select run -n 3 --overwrite", "compare"),
    "rollout --overwrite": Command("rollout run --overwrite", "compare"),
    "run": Command(f"run run {CONFIG}"),
    "run --stages": Command(f"run run {CONFIG} --stages 0.5,0.5"),
}
