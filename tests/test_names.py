"""names.py against the registries: every name has its code, and all code has its name."""

import pytest

from learnalign import names
from learnalign.errors import InputError
from learnalign.selection.methods import METHODS
from learnalign.signals import find_signal
from learnalign.verify.builtin import BUILT_IN


def test_every_table_names_what_there_is() -> None:
    assert set(METHODS) == set(names.METHODS)
    assert [find_signal(name).name for name in names.SIGNALS] == list(names.SIGNALS)
    assert set(BUILT_IN) == set(names.VERIFIERS)


def test_every_name_has_one_line() -> None:
    tables = [value for value in vars(names).values() if isinstance(value, dict) and value and "__name__" not in value]
    assert len(tables) == 7
    assert all(about and "\n" not in about and len(about) < 100 for table in tables for about in table.values())


def test_an_unknown_name_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(
        InputError, match=r"method lernalign: unknown \(did you mean learnalign\?\); known are learnalign, "
    ):
        names.check_name("method", "lernalign", names.METHODS)
