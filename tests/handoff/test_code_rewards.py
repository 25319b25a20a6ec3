"""The reward functions on programs: the rows say where and within which limits they run."""

from __future__ import annotations

import json

from learnalign.handoff import judging
from learnalign.handoff.format import Chosen
from learnalign.handoff.judging import verdicts

GOLD = json.dumps({"tests": [{"stdin": "", "stdout": "1\n"}]})
LIMITS = {"seconds": 0.5, "total_seconds": 20.0, "memory": 2**28}


def test_rows_of_the_verifier_code_say_where_and_how_programs_run() -> None:
    chosen = Chosen(prompts=[], verifier="code", sandbox="local", limits=LIMITS)
    assert chosen.judged_by() == {"verifier": "code", "sandbox": "local", "limits": LIMITS}
    assert Chosen(prompts=[], verifier="math", limits=LIMITS).judged_by() == {"verifier": "math"}


def test_programs_are_judged_in_the_trainers_process_as_p_was_measured(sandbox_here: None) -> None:
    about = Chosen(prompts=[], verifier="code", sandbox="local", limits=LIMITS).judged_by()
    completions = ["```python\nprint(1)\n```", "```python\nprint(2)\n```", "```python\nwhile True: pass\n```"]
    judged = verdicts(completions, [GOLD] * 3, [about] * 3)
    assert [(verdict.reward, verdict.reason) for verdict in judged] == [
        (1.0, "all tests pass (1)"),
        (0.0, "test 1 of 1: wrong output"),
        (0.0, "test 1 of 1: out of time"),
    ]
    judging._opened.cache_clear()
