"""Makes the pools and test sets of the experiment: `python -m learnalign.demo.arithmetic [DIR]`.

Questions of the embedded model's eight kinds, always the same: a pool, four pools in which the direction of a gradient should
matter, a validation and a test set. No question of the last two is in a pool.
"""

import argparse
import gzip
import json
import random
from pathlib import Path
from typing import Any

from learnalign import demo
from learnalign.demo.questions import Question, completion, draw, questions

SEED = 1
# Questions of each kind; there are only a hundred sums and a hundred products of one digit.
COUNTS: dict[str, tuple[int, ...]] = {
    #                pool, one family, extremes, validation, test, chains
    "digit_sum": (35, 9, 70, 6, 14, 9),
    "digit_product": (35, 9, 70, 6, 14, 9),
    "sum": (230, 960, 202, 80, 170, 54),
    "difference": (210, 50, 184, 74, 156, 50),
    "chain": (210, 50, 184, 74, 156, 960),
    "product": (210, 54, 185, 70, 150, 54),
    "story": (210, 54, 185, 70, 150, 50),
    "long_product": (60, 14, 120, 20, 40, 14),
}
WRONG = 0.25  # share of the golds that are wrong, in that pool
Rows = list[dict[str, Any]]


def pools() -> dict[str, Rows]:
    """Every set by its name in `demo.POOLS`; rows have question, answer, solution, kind."""
    rng, taken = random.Random(SEED), set[str]()
    validation, test = (questions(_counts(column), rng, taken) for column in (3, 4))
    pool, one_family, extremes = (questions(_counts(column), rng, set(taken)) for column in range(3))
    sets = {
        "demo-arithmetic": pool,
        "demo-arithmetic-one-family": one_family,
        "demo-arithmetic-extremes": extremes,
        "demo-arithmetic-validation": validation,
        "demo-arithmetic-test": test,
    }
    rows = {name: [_row(question, question.answer) for question in drawn] for name, drawn in sets.items()}
    wrong = set(rng.sample(range(len(pool)), round(WRONG * len(pool))))
    rows["demo-arithmetic-wrong-golds"] = [
        _row(question, _other_answer(question, rng) if place in wrong else question.answer)
        | {"gold": "wrong" if place in wrong else "right"}
        for place, question in enumerate(pool)
    ]
    chains = questions(_counts(5), rng, set(taken))  # last, so that the sets before it stay as they were
    rows["demo-arithmetic-chains"] = [_row(question, question.answer) for question in chains]
    return rows


def _counts(column: int) -> dict[str, int]:
    return {kind: counts[column] for kind, counts in COUNTS.items()}


def _row(question: Question, answer: int) -> dict[str, Any]:
    solution = question.solution if answer == question.answer else completion([], answer)
    return {"question": question.text, "answer": str(answer), "solution": solution, "kind": question.kind}


def _other_answer(question: Question, rng: random.Random) -> int:
    """The answer of another question of this kind, if it differs: as likely as a right gold, and wrong."""
    while (answer := draw(question.kind, rng).answer) == question.answer:
        pass
    return answer


def write(directory: Path) -> None:
    """Write each set as DIRECTORY/NAME.jsonl.gz, always the same."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in pools().items():
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (directory / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Write the sets to a folder (default: the package)."""
    parser = argparse.ArgumentParser(prog="python -m learnalign.demo.arithmetic", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=demo.SETS, help="output folder (the package)")
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
