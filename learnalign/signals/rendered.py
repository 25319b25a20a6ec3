"""A prompt with the answer that a signal is taken over: its gold solution, else the first stored rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from learnalign.errors import RunError
from learnalign.policy import prompt_ids
from learnalign.prompts import Prompt
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import read_parquet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sample:
    """Token ids of a prompt as the policy is asked it, and of an answer; `over` says whose, None where there is none.

    A solution is the pool's text as it is; a rollout's ids are those that were sampled, its closing EOS included.
    """

    prompt: Prompt
    prompt_ids: list[int]
    answer_ids: list[int]
    answer_text: str
    over: Literal["solution", "rollout"] | None

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt_ids) + len(self.answer_ids)


def read_samples(
    run: RunDir, shard: Shard, prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, answers: bool
) -> list[Sample]:
    """The samples of a shard's prompts; without `answers` only solutions are there."""
    rollouts = _first_rollouts(run, shard) if answers and not all(prompt.solution for prompt in prompts) else {}
    samples = []
    for prompt in prompts:
        asked = prompt_ids(tokenizer, prompt.messages)
        if prompt.solution:
            answer = tokenizer(prompt.solution, add_special_tokens=False)["input_ids"]
            samples.append(Sample(prompt, asked, answer, prompt.solution, "solution"))
        elif prompt.id in rollouts:
            samples.append(Sample(prompt, *rollouts[prompt.id], "rollout"))
        else:
            samples.append(Sample(prompt, asked, [], "", None))
    return samples


def check_answers(run: RunDir, prompts: Sequence[Prompt]) -> None:
    """Raise RunError where prompts have no gold solution and rollouts are not there yet."""
    without = sum(not prompt.solution for prompt in prompts)
    if without and not run.is_finished("rollout"):
        raise RunError(
            f"{without} of {len(prompts)} prompts have no gold solution, so this signal is taken over a rollout: run "
            f"`learnalign rollout {run.path}` first, or name the pool's column of worked solutions with data.solution"
        )


def _first_rollouts(run: RunDir, shard: Shard) -> dict[str, tuple[list[int], list[int], str]]:
    columns = ["id", "sample", "prompt_ids", "completion_ids", "text"]
    first: dict[str, tuple[list[int], list[int], str]] = {}
    for row in sorted(read_parquet(run.rollouts_file(shard), columns).to_pylist(), key=lambda row: row["sample"]):
        first.setdefault(row["id"], (row["prompt_ids"], row["completion_ids"], row["text"]))
    return first
