"""The methods by name: every way to turn gradients, rollouts and signals into a ranking."""

from __future__ import annotations

import importlib
import pkgutil

from learnalign import names
from learnalign.selection.methods.method import Method, Scores

_modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
_defined = {method.name: method for module in _modules for method in getattr(module, "METHODS", ())}
METHODS: dict[str, Method] = {name: _defined[name] for name in names.METHODS if name in _defined}


def find_method(name: str) -> Method:
    """The method of that name; raises InputError naming the known ones."""
    return METHODS[names.check_name("method", name, METHODS)]


__all__ = ["METHODS", "Method", "Scores", "find_method"]
