"""A user's own verifier, in a module that a worker imports at once."""

from typing import Any


def seen(data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any]) -> float:
    """A user's verifier with verl's signature: correct if it gets the pool's own columns."""
    return float(extra_info is not None and data_source == "theirs")
