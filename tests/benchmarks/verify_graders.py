"""Counts false accepts, false rejects and nulls of verifiers and graders on the answer pairs of the tests, and their speed.

    python -m tests.benchmarks.verify_graders [--verl DIR] [--open-instruct DIR] [MODULE:FUNCTION …]

Beside ours it takes plain math-verify and TRL's grader, those of verl and open-instruct from the directories that hold
their packages (see `rivals`), and any function that a verifier can be: a trainer's own. Prints a table for
learnalign/verify/README.md; time is CPU time of the worker and the parent, after a first pass that warms up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path

from learnalign.verify import Item, Verdict, open_verifier
from learnalign.verify.graders import short_name, verifier_name
from tests.verify.fuzz import false_pairs, true_pairs
from tests.verify.pairs import PAIRS

FIELD = Path(__file__).parents[1] / "verify" / "field_pairs.jsonl"


def pairs() -> list[tuple[Item, float | None]]:
    """The pairs of `math`: those from the field, those of the table but its huge texts, and generated ones."""
    field = [json.loads(line) for line in FIELD.read_text(encoding="utf-8").splitlines()]
    found = [(p["completion"], p["answer"], p["reward"]) for p in field if p["verifier"] == "math"]
    found += [(p.completion, p.gold, p.reward) for p in PAIRS if p.verifier == "math" and len(p.completion) < 5_000]
    return [(Item(text, gold, messages=[]), reward) for text, gold, reward in found]


def generated() -> list[tuple[Item, float | None]]:
    made = [(pair, 0.0) for pair in false_pairs(20)] + [(pair, 1.0) for pair in true_pairs(20)]
    return [(Item(pair.completion, pair.gold, messages=[]), reward) for pair, reward in made]


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def judged(name: str, items: list[Item]) -> tuple[list[Verdict], float]:
    """The verdicts and the CPU seconds of a whole verifier, its start taken off."""
    before = cpu_seconds()
    with open_verifier(name, workers=1, timeout=10) as verifier:
        verifier.score(items[:1] if ":" in name else [Item(r"\boxed{\sqrt{2}}", "x")])
    start = cpu_seconds() - before
    with open_verifier(name, workers=1, timeout=10) as verifier:
        verdicts = verifier.score(items)
    return verdicts, max(cpu_seconds() - before - 2 * start, 1e-3)


def graders() -> list[str]:
    """The verifiers that the command line asks for; a rival's directory reaches the workers by the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--verl", metavar="DIR")
    parser.add_argument("--open-instruct", metavar="DIR")
    parser.add_argument("functions", nargs="*", metavar="MODULE:FUNCTION")
    given = parser.parse_args()
    rivals = []
    if given.verl:
        os.environ["VERL"] = given.verl
        rivals += [f"verl_{name}" for name in ("math_dapo", "math_reward", "math_verify", "prime_math")]
    if given.open_instruct:
        os.environ["OPEN_INSTRUCT"] = given.open_instruct
        rivals += ["open_instruct_math"]
    ours = ["math", verifier_name("math-verify"), verifier_name("trl")]
    return ours + [f"tests.benchmarks.rivals:{name}" for name in rivals] + given.functions


def main() -> None:
    names = graders()
    for title, table in (("pairs", pairs()), ("generated pairs", generated())):
        items = [item for item, _ in table]
        print(
            f"\n| {len(items)} {title} | false accepts | false rejects | null where it is not right | rows/s |\n|---|---|---|---|---|"
        )
        for name in names:
            verdicts, seconds = judged(name, items)
            right = [reward for _, reward in table]
            found = list(zip(right, (verdict.reward for verdict in verdicts), strict=True))
            accepts = sum(reward == 1.0 and want != 1.0 for want, reward in found)
            rejects = sum(reward == 0.0 and want == 1.0 for want, reward in found)
            nulls = sum(reward is None and want is not None for want, reward in found)
            print(f"| {short_name(name)} | {accepts} | {rejects} | {nulls} | {len(items) / seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
