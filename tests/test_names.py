"""names.py against the registries: every name has its code, and all code has its name."""

import importlib
import pkgutil
from types import ModuleType

import pytest

from learnalign import curriculum, handoff, names, signals
from learnalign.errors import InputError
from learnalign.evaluation.testset import test_sets
from learnalign.gradients import projections
from learnalign.papers.loading import STAND_INS
from learnalign.papers.measures import OF_RECORD
from learnalign.rollouts import engines
from learnalign.selection import methods
from learnalign.selection.methods import METHODS
from learnalign.training.trainer import TRAINERS
from learnalign.verify.builtin import BUILT_IN
from learnalign.verify.graders import GRADERS


def modules_with(package: ModuleType, attribute: str) -> set[str]:
    """Names of the package's modules that define `attribute`."""
    every = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return {name for name in every if hasattr(importlib.import_module(f"{package.__name__}.{name}"), attribute)}


def test_every_table_names_what_there_is() -> None:
    assert list(METHODS) == list(names.METHODS)
    assert methods._defined.keys() == METHODS.keys()
    assert {*BUILT_IN, "code"} == set(names.VERIFIERS)
    assert set(GRADERS) == set(names.GRADERS)
    assert set(TRAINERS) == set(names.ALGORITHMS)
    formats = {name.replace("-", "_") for name in names.FORMATS}
    assert modules_with(handoff, "FORMAT") == formats
    assert set(test_sets()) == set(names.TEST_SETS)
    assert modules_with(signals, "SIGNAL") == set(names.SIGNALS)
    assert modules_with(curriculum, "make") == set(names.CURRICULA)
    assert modules_with(engines, "ENGINE") == set(names.ENGINES)
    assert {"accuracy", "curve", *OF_RECORD} == set(names.MEASURES)
    assert {*STAND_INS, "full"} == set(names.SCALES)
    assert modules_with(projections, "PROJECTION") | {"exact"} == set(names.PROJECTIONS)


def test_every_name_has_one_line() -> None:
    tables = [value for value in vars(names).values() if isinstance(value, dict) and value and "__name__" not in value]
    assert len(tables) == 14
    assert all(about and "\n" not in about and len(about) < 100 for table in tables for about in table.values())


def test_an_unknown_name_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(
        InputError, match=r"method lernalign: unknown \(did you mean learnalign\?\); known are learnalign, "
    ):
        names.check_name("method", "lernalign", names.METHODS)
