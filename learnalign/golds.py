"""Looks at the pool's gold answers before anything is sampled: are they answers, or whole worked solutions?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from learnalign.config import HASHES, Config
from learnalign.errors import InputError, counted, one_line
from learnalign.names import VERIFIERS
from learnalign.pool_table import Prompt, each
from learnalign.verify.extract import find_boxes

FEWEST = 5  # solutions among the golds, below which nothing is said
MARK = "####"
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_MANY_WORDS = 12


@dataclass(frozen=True)
class Solutions:
    """Golds that are whole solutions: what was seen, as a sentence, and each way to have answers instead."""

    seen: str
    ways: list[str]


def find_solutions(config: Config, prompts: Sequence[Prompt]) -> Solutions | None:
    """Whole solutions among the golds, if at least half of them are, not answers.

    Those of the verifier gsm8k may end in ####, those of math, boxed and answer_tag in a box, as their data sets have
    them, and those of code are tests; a function of the user's own may read what it likes.
    """
    golds = [answer for answer in each(prompts, "answer") if _is_solution(answer, config.verifier)]
    if len(golds) < FEWEST or 2 * len(golds) < len(prompts):
        return None
    ways = ["data.answer: the column that holds the answer alone"]
    if 2 * sum(MARK in gold for gold in golds) > len(golds):
        ways += [
            "verifier: gsm8k, which reads what follows ####",
            f"data.answer_regex: '{HASHES}', for the same with any other",
        ]
    else:
        ways += ["data.answer_regex: what cuts the answer out"]
    seen = (
        f"{len(golds)} of {counted(len(prompts), 'gold')} in column {config.data.answer!r} are whole solutions (median "
        f"{median(map(len, golds)):.0f} characters, such as {one_line(golds[0], 160)!r}), not the answers that verifier "
        f"{config.verifier}, and a trainer after it, needs"
    )
    return Solutions(seen, ways)


def refuse_solutions(config: Config, prompts: Sequence[Prompt]) -> None:
    """Raise InputError if at least half of the golds are whole solutions, not answers."""
    if found := find_solutions(config, prompts):
        raise InputError(
            f"data.answer: {found.seen}. Set one of: {'; '.join(found.ways)}. Then run this again; --anyway goes on as it is"
        )


def _is_solution(gold: str, verifier: str) -> bool:
    if verifier not in VERIFIERS or verifier in ("gsm8k", "code"):
        return False
    before, mark, _ = gold.rpartition(MARK)
    if mark and before.strip():
        return True
    if verifier == "literal" or (verifier != "exact" and find_boxes(gold).contents):
        return False
    return len(_WORD.findall(gold)) >= _MANY_WORDS
