"""Verifiers that give a random model's completions both rewards."""

from __future__ import annotations

from typing import Any


def by_first_letter(data_source: Any, solution_str: str, ground_truth: str, extra_info: Any = None) -> float | None:
    """1.0 if the first character has an even code point, None (unscorable) if 7 divides it."""
    code = ord(solution_str[0]) if solution_str else 0
    return None if code % 7 == 0 else float(code % 2 == 0)


def always(data_source: Any, solution_str: str, ground_truth: str, extra_info: Any = None) -> float:
    """1.0 for everything."""
    return 1.0


def second_letter(data_source: Any, solution_str: str, ground_truth: str, extra_info: Any = None) -> float:
    """1.0 if the completion begins with B."""
    return float(solution_str.startswith("B"))
