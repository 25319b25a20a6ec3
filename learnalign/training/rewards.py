"""The verifier as TRL's reward function, and a record of every prompt's rewards."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from learnalign import processes
from learnalign.prompts import Prompt
from learnalign.rollouts.judging import completion_texts, judge, refuse_unscored, unscored_reasons
from learnalign.verify import Verifier


@dataclass(frozen=True)
class Visit:
    """One prompt's group in one step: its `epoch`-th visit (from 1), and how many completions were correct and scored."""

    id: str
    epoch: int
    correct: int
    scored: int


@dataclass
class Rewards:
    """Scores completions of `prompts` with `verifier`; `visits` holds every group so far, in the order of training.

    None (an unscorable completion) stays None: TRL leaves it out of the group's mean and std and gives it advantage 0,
    so it does not move the policy. A call that scores nothing raises RunError. Each of several processes scores its own
    completions, and has the groups of all in `visits`.
    """

    prompts: Sequence[Prompt]
    verifier: Verifier
    tokenizer: PreTrainedTokenizerBase
    num_generations: int
    tags: Sequence[str] = ()  # of reasoning, and the one that the prompts open
    opened: str = ""
    name: str = ""  # the verifier's
    visits: list[Visit] = field(default_factory=list)
    unscored: int = 0
    _seen: Counter[str] = field(default_factory=Counter)
    __name__ = "verifier"  # TRL names its metric after this

    def __call__(self, completion_ids: Sequence[Sequence[int]], index: Sequence[int], **_: Any) -> list[float | None]:
        """One reward per completion; completion i answers row `index[i]` of `prompts`, and groups are contiguous."""
        texts = completion_texts(self.tokenizer, completion_ids, self.tags)
        judged = [(self.prompts[row], text) for row, text in zip(index, texts, strict=True)]
        verdicts = judge(self.verifier, judged, self.opened)
        if len(set(index)) > 1:
            reasons = unscored_reasons(verdict.reason for verdict in verdicts if verdict.reward is None)
            refuse_unscored(reasons, len(verdicts), self.name, "training goes on from its last checkpoint")
        rewards = [verdict.reward for verdict in verdicts]
        size = self.num_generations
        own = [(index[start], *_counts(rewards[start : start + size])) for start in range(0, len(rewards), size)]
        for row, correct, scored in itertools.chain.from_iterable(processes.exchange(own)):
            id = self.prompts[row].id
            self._seen[id] += 1
            self.visits.append(Visit(id, self._seen[id], correct, scored))
            self.unscored += size - scored
        return rewards

    def success_rates(self, count: int) -> list[float | None]:
        """Correct / scored of the last `count` groups; None if nothing was scored."""
        return [visit.correct / visit.scored if visit.scored else None for visit in self.visits[-count:]]

    def mean_since(self, visits: int) -> float | None:
        """Mean reward of the scored completions of all groups after the first `visits`; None if nothing was scored."""
        recent = self.visits[visits:]
        scored = sum(visit.scored for visit in recent)
        return sum(visit.correct for visit in recent) / scored if scored else None

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {
            "unscored": self.unscored,
            "visits": [[visit.id, visit.epoch, visit.correct, visit.scored] for visit in self.visits],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.unscored = state["unscored"]
        self.visits = [Visit(*visit) for visit in state["visits"]]
        self._seen = Counter(visit.id for visit in self.visits)


def _counts(group: Sequence[float | None]) -> tuple[int, int]:
    """How many completions are correct, and scored."""
    scored = [reward for reward in group if reward is not None]
    return round(sum(scored)), len(scored)
