"""Makes the code tasks of the demo and completions of them: `python -m learnalign.demo.code [DIR]`.

Sixty tiny tasks, twenty kinds with three values of k each, and eight completions of each as policies of every strength would
write them: of the task's right and wrong programs, some without a program, so that success rates spread over 0..1.
`learnalign rollout --from demo-code` takes the completions in place of sampling, which the embedded model cannot do: it knows
sums, not programs. Their tokens, and so the gradients, are those of its tokenizer.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

from learnalign import demo
from learnalign.demo.code_kinds import KINDS, Kind

SEED = 0
SAMPLES = 8
NO_PROGRAM = ("I do not know.", "The answer is 42.", "```python\n```")
BROKEN = ("def {name}(x)\n    return x", "while True: pass", "import nothing_of_that_name\n")
SECONDS = 1  # of a test


def tasks() -> list[tuple[str, dict[str, Any], list[tuple[str, bool]]]]:
    """Return every task: its question, its tests, and its completions with whether they are right; always the same."""
    rng = random.Random(SEED)
    made = [
        (kind.question.replace("$k", str(k)), _tests(kind, k), _completions(kind, k, rng))
        for kind in KINDS
        for k in kind.values
    ]
    rng.shuffle(made)
    return made


def _tests(kind: Kind, k: Any) -> dict[str, Any]:
    """The tests in the plain shape, their answers computed by the kind's own rule."""
    answers = [kind.rule(k, each) for each in kind.inputs]
    pairs = zip(kind.inputs, answers, strict=True)
    tests: dict[str, Any] = {"tests": [], "seconds": SECONDS}
    if kind.name is None:
        return tests | {"tests": [{"stdin": given, "stdout": f"{answer}\n"} for given, answer in pairs]}
    if kind.asserts:
        asserts = [f"assert {kind.name}({given!r}) == {answer!r}" for given, answer in pairs]
        return tests | {"entry_point": kind.name, "tests": asserts}
    return tests | {"entry_point": kind.name, "tests": [{"call": [given], "value": answer} for given, answer in pairs]}


def _completions(kind: Kind, k: Any, rng: random.Random) -> list[tuple[str, bool]]:
    """Draw completions of a policy that solves this task with a probability of its own."""
    strength = rng.choice((0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0))
    drawn = []
    for _ in range(SAMPLES):
        right = rng.random() < strength
        if not right and rng.random() < 0.15:
            drawn.append((rng.choice(NO_PROGRAM), False))
            continue
        broken = not right and rng.random() < 0.1
        program = rng.choice(BROKEN if broken else kind.right if right else kind.wrong)
        text = program.replace("$k", str(k)).replace("{name}", kind.name or "f").strip()
        drawn.append((f"{rng.choice(('', '', 'So:'))}\n```python\n{text}\n```".strip(), right))
    return drawn


def write(directory: Path) -> None:
    """Write the pool (question, answer: the tests as JSON text) and the completions (prompt, completions), one object a line."""
    made = tasks()
    pool = [{"question": question, "answer": json.dumps(tests)} for question, tests, _ in made]
    completions = [{"prompt": question, "completions": [text for text, _ in drawn]} for question, _, drawn in made]
    for name, rows in ((demo.CODE_POOL.name, pool), (demo.CODE_COMPLETIONS.name, completions)):
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write both files to a folder (default: the package)."""
    parser = argparse.ArgumentParser(prog="python -m learnalign.demo.code", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=demo.path(), help="output folder (the package)")
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
