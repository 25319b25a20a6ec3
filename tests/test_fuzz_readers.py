"""Whatever a file holds, its reader gives rows whose counts add up, or one line. FUZZ_SECONDS=120 goes on that long."""

import os

import pytest

from tests.torture.readers import READERS, fuzz, try_examples


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_gives_rows_or_one_line(reader: str) -> None:
    seconds = float(os.environ.get("FUZZ_SECONDS", 0))
    outcomes = fuzz(reader, seconds) if seconds else try_examples(reader, 30)
    assert sum(outcomes.values())
