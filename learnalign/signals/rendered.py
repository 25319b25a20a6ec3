"""A prompt with the answer that a signal is computed over: its gold solution, else the first stored rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from learnalign.errors import RunError, counted
from learnalign.pool_table import Prompt, Prompts, each
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import read_parquet
from learnalign.tokenised import asked_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class RenderedPrompt:
    """Token ids of the rendered prompt and of an answer; `over` says where the answer is from, None if it has none.

    A solution is the pool's text unchanged; a rollout's ids are those that were sampled, closing EOS included.
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


def render_prompts(
    run: RunDir, shard: Shard, pool: Prompts, tokenizer: PreTrainedTokenizerBase, answers: bool
) -> list[RenderedPrompt]:
    """Renders the prompts of a shard of the `pool`; without `answers`, only solutions are answers and no rollout is read."""
    prompts, asked = pool[shard.start : shard.stop], asked_ids(pool, shard.start, shard.stop, tokenizer)
    rollouts = _first_rollouts(run, shard) if answers and not all(prompt.solution for prompt in prompts) else {}
    rendered = []
    for prompt, ids in zip(prompts, asked, strict=True):
        if prompt.solution:
            answer = tokenizer(prompt.solution, add_special_tokens=False)["input_ids"]
            rendered.append(RenderedPrompt(prompt, ids, answer, prompt.solution, "solution"))
        elif prompt.id in rollouts:
            rendered.append(RenderedPrompt(prompt, *rollouts[prompt.id], "rollout"))
        else:
            rendered.append(RenderedPrompt(prompt, ids, [], "", None))
    return rendered


def check_answers(run: RunDir, prompts: Sequence[Prompt]) -> None:
    """Raises RunError if some prompts have no gold solution and the rollouts are not finished."""
    without = sum(not solution for solution in each(prompts, "solution"))
    if without and not run.is_finished("rollout"):
        raise RunError(
            f"{without} of {counted(len(prompts), 'prompt has', 'prompts have')} no gold solution, so this signal is computed over a "
            f"rollout: run `learnalign rollout {run.quoted}` first, or name the pool's column of worked solutions with data.solution"
        )


def _first_rollouts(run: RunDir, shard: Shard) -> dict[str, tuple[list[int], list[int], str]]:
    columns = ["id", "sample", "prompt_ids", "completion_ids", "text"]
    first: dict[str, tuple[list[int], list[int], str]] = {}
    for row in sorted(read_parquet(run.rollouts_file(shard), columns).to_pylist(), key=lambda row: row["sample"]):
        first.setdefault(row["id"], (row["prompt_ids"], row["completion_ids"], row["text"]))
    return first
