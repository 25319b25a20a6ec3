"""The readers of forms, in order: each returns the form of a cleaned text, or None; the first that fits wins.

A reader gets `read`, which reads a part of its text.
"""

from __future__ import annotations

from collections.abc import Callable

from learnalign.verify.forms import Form, Read
from learnalign.verify.readers.brackets import read_bracketed, read_matrix, read_union
from learnalign.verify.readers.dates import read_clock, read_date
from learnalign.verify.readers.lists import read_alternatives, read_listed, read_logical, read_plus_minus, read_quoted
from learnalign.verify.readers.numbers import (
    read_based,
    read_compound,
    read_formula,
    read_plain,
    read_quantity,
    read_ratio,
    read_remainder,
)
from learnalign.verify.readers.relations import read_family, read_relation, read_set_builder
from learnalign.verify.readers.sentences import (
    read_bound,
    read_choice,
    read_clauses,
    read_sentence,
    read_text,
    read_words,
)

READERS: tuple[Callable[[str, Read], Form | None], ...] = (
    read_quoted, read_choice, read_words, read_plain, read_compound, read_date, read_clock, read_based,
    read_remainder, read_set_builder, read_family, read_clauses, read_bound, read_logical, read_alternatives,
    read_listed, read_relation, read_union, read_bracketed, read_matrix, read_ratio, read_plus_minus,
    read_quantity, read_formula, read_sentence, read_text,
)  # fmt: skip
