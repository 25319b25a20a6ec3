"""Numbers and axes: as a reader writes them, and no two ticks alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learnalign.report.svg import axis
from learnalign.report.text import clipped, number, percent


@pytest.mark.parametrize("log", [False, True])
def test_ticks_are_inside_the_axis_and_few(log: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        low = 10 ** rng.uniform(-6, 6)
        made = axis("x", [low, low * (1 + 10 ** rng.uniform(-3, 5))], log=log)
        ticks = made.ticks()
        assert 2 <= len(ticks) <= 11
        assert all(-1e-6 <= made.place(tick) <= 1 + 1e-6 for tick in ticks)


@pytest.mark.parametrize("unit", ["number", "count", "percent"])
def test_no_two_ticks_have_one_label_and_a_label_is_the_ticks_value(unit: Any) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        low = 10 ** rng.uniform(-6, 6)
        values = [low, low * (1 + 10 ** rng.uniform(-6, 5))]
        values = [float(round(value)) for value in values] if unit == "count" else values
        labels = axis("x", values, unit=unit).labels()
        assert len({text for _, text in labels}) == len(labels) > 0
        texts = [text.removesuffix(" %").replace(",", "") for _, text in labels]
        read = [float(text) / (100 if unit == "percent" else 1) for text in texts if not set(text) & set("·⁻")]
        assert all(any(abs(one - tick) <= 1e-5 * abs(tick) for tick, _ in labels) for one in read)
        assert unit != "count" or all(text.isdigit() for text in texts)


def test_the_axis_of_what_is_always_the_same_has_that_tick_alone() -> None:
    assert axis("KL", [0.0, 0.0], zero=True).labels() == [(0.0, "0")]
    assert axis("steps", [1.0, 2.0], unit="count").labels() == [(1.0, "1"), (2.0, "2")]
    assert axis("x", [7.25]).labels() == [(7.25, "7.25")]


NUMBERS = {
    0.0: "0",
    0.125: "0.125",
    0.12345: "0.123",
    0.00012: "0.00012",
    0.000011: "1.1·10⁻⁵",
    0.00001: "10⁻⁵",
    100.0: "100",
    999.7: "1,000",
    12345.6: "12,346",
    1200000.0: "1,200,000",
    -0.5: "−0.5",
    -3e-7: "−3·10⁻⁷",
}


def test_numbers_are_written_as_a_reader_writes_them() -> None:
    assert {value: number(value) for value in NUMBERS} == NUMBERS
    assert number(float("nan")) == number(None) == "–"
    shares = {(1, 300): "0.3 %", (1, 3000): "0.03 %", (299, 300): "99.6 %", (2999, 3000): "99.9 %"}
    shares |= {(0, 3): "0 %", (3, 3): "100 %", (1, 2): "50 %", (0, 0): "–"}
    assert {pair: percent(*pair) for pair in shares} == shares


def test_long_texts_keep_their_beginning_and_their_end() -> None:
    text = "begin" + "x" * 5000 + "end"
    short = clipped(text, 100)
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "4,908" in short
    assert clipped("short", 100) == "short"
