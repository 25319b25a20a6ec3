"""Looks at the first rollouts before the others are drawn: a pool of which nearly all or nothing is solved, or most is cut
off, has nothing to teach, and more often its settings are wrong."""

from __future__ import annotations

from learnalign.errors import InputError
from learnalign.rollouts.groups import load_endings
from learnalign.rundir import RunDir
from learnalign.rundir.files import is_intact

ROLLOUTS, PROMPTS = 64, 8  # evidence, below which nothing is said
NEARLY_NONE = 0.02
MOST = 0.5


def look_at_first(run: RunDir) -> bool:
    """Whether the first stored shards are evidence enough; raises InputError if they say that something is wrong."""
    rewards: list[float] = []
    cut, count, prompts = 0, 0, set()
    for shard in run.shards():
        if not is_intact(run.rollouts_file(shard)):  # it is drawn again
            continue
        for id, reward, finish_reason in load_endings(run, shard):
            prompts.add(id)
            rewards += [] if reward is None else [reward]
            cut, count = cut + (finish_reason == "length"), count + 1
        if len(rewards) >= ROLLOUTS and len(prompts) >= PROMPTS:
            words = caution(run, f"the first {count}", sum(rewards), len(rewards), cut, count)
            if words:
                raise InputError(
                    f"{words}. The same command with --anyway goes on with these; with other settings, give --overwrite"
                )
            return True
    return False


def caution(run: RunDir, which: str, correct: float, scored: int, cut: int, count: int) -> str:
    """What `which` completions say against the settings, and what to look at; empty if nothing does, or if they are few.

    Of `count` completions, `cut` are cut off; of the `scored`, `correct` are correct.
    """
    if scored < ROLLOUTS:
        return ""
    config, found, look_at, kind = run.config, [], [], ""
    rate = correct / scored
    if cut > MOST * count:
        found.append(f"{cut} of {count} are cut off")
        look_at.append(f"rollout.max_completion_length ({config.rollout.max_completion_length})")
        kind = " --never"
    if rate < NEARLY_NONE:
        found.append(f"{correct:.0f} of {scored} are correct")
        look_at += [
            f"the gold column (data.answer: {config.data.answer!r}, data.answer_regex)",
            f"the verifier ({config.verifier})",
            "what the prompt asks for (data.system_prompt, data.prompt_template)",
        ]
        kind = " --never"
    elif rate > 1 - NEARLY_NONE:
        found.append(f"{correct:.0f} of {scored} are correct: there is nothing left to learn")
        look_at += [f"the verifier ({config.verifier})", "the gold column (data.answer)", "a harder pool"]
        kind = kind or " --always"
    if not found:
        return ""
    command = f"learnalign show {run.quoted}{kind}"
    return f"of {which} completions, {' and '.join(found)}. Look at some: `{command}`; then at {', '.join(look_at)}"
