"""Prompts with their completions and verdicts, to look at: what is behind a success rate p. Knows nothing of terminals."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from learnalign.errors import InputError, RunError, one_line
from learnalign.pool_table import Prompt, Prompts
from learnalign.prompts import stored_prompts
from learnalign.rollouts.groups import Rollout, load_endings, load_rollouts
from learnalign.rundir import RunDir, Shard

Kind = Literal["never", "half", "always"]
KINDS: tuple[Kind, ...] = ("never", "half", "always")  # by p: 0, nearest to 1/2 (neither 0 nor 1), 1


@dataclass(frozen=True)
class Example:
    """A prompt with its group of rollouts; `success_rate` is that of the group, None if nothing in it was scored."""

    prompt: Prompt
    success_rate: float | None
    rollouts: list[Rollout]


@dataclass(frozen=True)
class Examples:
    """How many `prompts` are of a kind, and some of them."""

    prompts: int
    examples: list[Example]


class _Group(NamedTuple):
    id: str
    shard: Shard
    rate: float | None


def examples(run: RunDir, kind: Kind | None = None, count: int = 3) -> list[Example]:
    """`count` prompts of a kind, or in turn of each kind, spread over the rollouts stored so far; fewer if there are fewer.

    Raises RunError if no completions are stored yet.
    """
    found = examples_by_kind(run, count, [kind] if kind else KINDS).values()
    turns = [one for turn in range(count) for of_kind in found for one in of_kind.examples[turn : turn + 1]]
    return turns[:count]


def examples_by_kind(run: RunDir, count: int, kinds: Sequence[Kind] = KINDS) -> dict[Kind, Examples]:
    """How many prompts are of each kind, and `count` of them, as `examples`."""
    groups, prompts = _groups(run), stored_prompts(run)
    of_kinds = {kind: _of_kind(groups, kind) for kind in kinds}
    shown = {kind: _some(of_kind, kind, count) for kind, of_kind in of_kinds.items()}
    loaded = _load(run, prompts, [group for some in shown.values() for group in some])
    return {kind: Examples(len(of_kinds[kind]), [loaded[group.id] for group in shown[kind]]) for kind in kinds}


def example(run: RunDir, id: str) -> Example:
    """The prompt `id`; raises InputError, naming the nearest id, if the pool has none, RunError if it has no rollouts."""
    known = stored_prompts(run)
    if id not in known.places:
        near = difflib.get_close_matches(id[:100], known.ids, n=1, cutoff=0)
        raise InputError(f"--id {one_line(id, 100)}: no prompt of the pool has this id; the nearest is {near[0]}")
    found = [group for group in _groups(run) if group.id == id]
    if not found:
        raise RunError(f"prompt {id} has no completions yet; run `learnalign rollout {run.quoted}`")
    return _load(run, known, found)[id]


def most_different(rollouts: Sequence[Rollout], count: int) -> list[Rollout]:
    """At most `count` rollouts, those with different rewards and answers first; by ascending sample."""
    seen: set[tuple[float | None, str | None]] = set()
    firsts: list[Rollout] = []
    others: list[Rollout] = []
    for one in rollouts:
        (others if (one.reward, one.answer) in seen else firsts).append(one)
        seen.add((one.reward, one.answer))
    return sorted([*firsts, *others][:count], key=lambda one: one.sample)


def _groups(run: RunDir) -> list[_Group]:
    """Every prompt with completions in the shards stored so far, in the pool's order."""
    stored_prompts(run)  # says what to run if there is no pool yet
    groups = []
    for shard in run.shards():
        if run.rollouts_file(shard).is_file():
            rewards: dict[str, list[float]] = defaultdict(list)
            for id, reward, _ in load_endings(run, shard):
                rewards[id] += [] if reward is None else [reward]
            groups += [_Group(id, shard, sum(each) / len(each) if each else None) for id, each in rewards.items()]
    if not groups:
        raise RunError(f"{run.path} has no completions yet; run `learnalign rollout {run.quoted}`")
    return groups


def _of_kind(groups: Sequence[_Group], kind: Kind) -> list[_Group]:
    """In the pool's order; those solved sometimes with the nearest to 1/2 first."""
    if kind == "half":
        between = [group for group in groups if group.rate not in (None, 0.0, 1.0)]
        return sorted(between, key=lambda group: abs((group.rate or 0.0) - 0.5))
    return [group for group in groups if group.rate == (0.0 if kind == "never" else 1.0)]


def _some(groups: Sequence[_Group], kind: Kind, count: int) -> Sequence[_Group]:
    """At most `count` groups: the nearest to 1/2, or at equal distances, so that a sorted pool shows more than its beginning."""
    count = min(count, len(groups))
    return groups[:count] if kind == "half" else [groups[i * len(groups) // count] for i in range(count)]


def _load(run: RunDir, prompts: Prompts, groups: Sequence[_Group]) -> dict[str, Example]:
    rollouts: dict[str, list[Rollout]] = {group.id: [] for group in groups}
    for shard in dict.fromkeys(group.shard for group in groups):
        for one in load_rollouts(run, shard):
            if one.id in rollouts:
                rollouts[one.id].append(one)
    known = prompts.named([group.id for group in groups])
    return {
        group.id: Example(prompt, group.rate, rollouts[group.id]) for group, prompt in zip(groups, known, strict=True)
    }
