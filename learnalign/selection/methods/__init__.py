"""The methods by name: every way to turn gradients, rollouts and signals into a ranking."""

from __future__ import annotations

from learnalign.errors import InputError
from learnalign.selection.methods import alignment, chance, gain, learnable, signals
from learnalign.selection.methods.method import Method, Scores

METHODS: dict[str, Method] = {
    method.name: method for module in (alignment, learnable, signals, chance, gain) for method in module.METHODS
}


def find_method(name: str) -> Method:
    """The method of that name; raises InputError naming the known ones."""
    if name not in METHODS:
        raise InputError(f"method {name}: unknown; known are {', '.join(METHODS)}")
    return METHODS[name]


__all__ = ["METHODS", "Method", "Scores", "find_method"]
