"""The trainers' own graders, to count how often they judge otherwise: `learnalign verify … --with NAME`.

Each is a function that a verifier can be (see `functions`); a trainer is imported only by the worker that judges with it.
"""

from __future__ import annotations

import logging

GRADERS = {
    "verl": "verl.utils.reward_score:default_compute_score",
    "trl": "trl.rewards:accuracy_reward",
    "math-verify": "learnalign.verify.graders:math_verify",
}


def math_verify(solution_str: str, ground_truth: str) -> float:
    """Judge by plain math-verify: the gold as LaTeX between dollars (its README's advice), the completion as it is."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # its timeouts are off; the parent enforces the limit
    configs = (LatexExtractionConfig(), ExprExtractionConfig())
    gold = parse(f"${ground_truth.strip('$')}$", configs, parsing_timeout=None)
    answer = parse(solution_str, configs, parsing_timeout=None)
    return float(verify(gold, answer, timeout_seconds=None))
