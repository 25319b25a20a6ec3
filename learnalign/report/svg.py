"""Plots as SVG: axes, bars, dots and lines. Colours are classes of page.css, so that a theme changes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from learnalign.report.text import e, number

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 24, 12, 46
SERIES = 8  # classes s0 … s7
TELLABLE = 2 * SERIES  # with open dots and dashed lines

Unit = Literal["number", "count", "percent"]


def series(number: int) -> str:
    """The classes of a series: its colour and, when all were had, open dots and dashed lines."""
    return f"s{number % SERIES}" + " again" * (number // SERIES % 2)


@dataclass(frozen=True)
class Axis:
    """A range of values with its label; `at` are its ticks, if they are given."""

    label: str
    low: float
    high: float
    log: bool = False
    unit: Unit = "number"
    at: Sequence[float] | None = None

    def ticks(self) -> list[float]:
        """Round values in the range: powers of ten of a logarithmic one, about five of another; whole ones of counts."""
        if self.at is not None:
            return list(self.at)
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            step = max(1, math.ceil(len(powers) / 6))
            return [10.0**power for power in powers[::step]] if len(powers) > 1 else [self.low, self.high]
        raw = max((self.high - self.low) / 5, 1 if self.unit == "count" else 0)
        power = 10 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def labels(self) -> list[tuple[float, str]]:
        """The ticks with their numbers, of as many digits as round ones need; given ones of three, or more to differ."""
        ticks = [0.0 if abs(tick) < 1e-12 else tick for tick in self.ticks()]
        values = [100 * tick for tick in ticks] if self.unit == "percent" else ticks
        gap = min((abs(b - a) for a, b in itertools.pairwise(values)), default=1.0)
        for digits in range(1, 16):
            exact = all(abs(value - float(f"{value:.{digits}g}")) < 1e-6 * gap for value in values)
            texts = [number(value, digits) for value in values]
            if exact or (digits >= 3 and len({*texts}) == len(texts) and (self.log or self.at is not None)):
                break
        return [
            (tick, f"{text} %" if self.unit == "percent" else text) for tick, text in zip(ticks, texts, strict=True)
        ]

    def place(self, value: float) -> float:
        """Where a value is in the range, 0 to 1."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        return ((math.log10(value) if self.log else value) - low) / (high - low)


def axis(label: str, values: Sequence[float], *, zero: bool = False, log: bool = False, unit: Unit = "number") -> Axis:
    """The axis that `values` need; with `zero` it begins at 0 at the latest. If all are the same, that is its only tick."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(known), max(known)
    if log:
        return Axis(label, low / 1.2, high * 1.2, True, unit)
    low = min(low, 0.0) if zero else low
    if high <= low:
        return Axis(label, low if zero else low - 0.5, low + 1, unit=unit, at=[low])
    margin = (0.1 if zero else 0.04) * (high - low)
    return Axis(label, low - (0 if zero and low == 0 else margin), high + margin, unit=unit)


class Plot:
    """A plot that grows by marks; `title` and `summary` are what a screen reader reads."""

    def __init__(self, x: Axis, y: Axis, title: str, summary: str = "", height: int = HEIGHT) -> None:
        self._x, self._y, self._title, self._summary, self._height = x, y, title, summary, height
        self._marks: list[str] = []

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return LEFT + self._x.place(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self._height - BOTTOM - self._y.place(value) * (self._height - TOP - BOTTOM)

    def bar(self, left: float, right: float, top: float, kind: str, tip: str = "", bottom: float = 0.0) -> None:
        """A bar from `bottom` to `top`, between two values of x."""
        x, y = self.x(left), self.y(max(top, bottom))
        size = f'width="{self.x(right) - x:.1f}" height="{abs(self.y(bottom) - self.y(top)):.1f}"'
        self._marks.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}>{_tip(tip)}</rect>')

    def dot(self, x: float, y: float, kind: str, tip: str = "", radius: float = 3.0, more: str = "") -> None:
        """A dot; `more` are further attributes."""
        place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:.3g}"'
        self._marks.append(f'<circle class="{kind}" {place}{more}>{_tip(tip)}</circle>')

    def line(self, points: Sequence[tuple[float, float]], kind: str, tip: str = "") -> None:
        """A line through points."""
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        self._marks.append(f'<path class="line {kind}" d="M{path}">{_tip(tip)}</path>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A closed figure."""
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        self._marks.append(f'<path class="{kind}" d="M{path}Z"/>')

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """A text whose lower middle is at (x, y)."""
        self._marks.append(f'<text class="{kind}" x="{self.x(x):.1f}" y="{self.y(y) - 4:.1f}">{e(text)}</text>')

    def svg(self) -> str:
        """The plot as an element."""
        summary = f"<desc>{e(self._summary)}</desc>" if self._summary else ""
        return (
            f'<svg role="img" viewBox="0 0 {WIDTH} {self._height}"><title>{e(self._title)}</title>{summary}'
            f"{self._axes()}{''.join(self._marks)}</svg>"
        )

    def _axes(self) -> str:
        bottom, right = self._height - BOTTOM, WIDTH - RIGHT
        parts = []
        for value, text in self._y.labels():
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
            parts.append(f'<text class="yt" x="{LEFT - 6}" y="{y + 4:.1f}">{text}</text>')
        for value, text in self._x.labels():
            parts.append(f'<text class="xt" x="{self.x(value):.1f}" y="{bottom + 17}">{text}</text>')
        middle = (TOP + bottom) / 2
        parts += [
            f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>',
            f'<text class="xl" x="{(LEFT + right) / 2:.0f}" y="{self._height - 8}">{e(self._x.label)}</text>',
            f'<text class="xl" transform="translate(13 {middle:.0f}) rotate(-90)">{e(self._y.label)}</text>',
        ]
        return "".join(parts)


def _tip(text: str) -> str:
    return f"<title>{e(text)}</title>" if text else ""


def figure(svg: str, caption: str, numbers: str = "", legend: Sequence[tuple[str, str]] = ()) -> str:
    """A plot with a caption, a legend of (class, name), and a table of its numbers to open."""
    more = f"<details><summary>The numbers</summary>{numbers}</details>" if numbers else ""
    return f"<figure>{legend_of(legend)}{svg}<figcaption>{caption}</figcaption>{more}</figure>"


def legend_of(entries: Sequence[tuple[str, str]], more: str = "") -> str:
    """The names of classes, each beside a sample."""
    items = "".join(
        f'<li><svg viewBox="0 0 12 12" aria-hidden="true"><circle class="{kind}" cx="6" cy="6" r="5"/></svg><bdi>{e(name)}</bdi></li>'
        for kind, name in entries
    )
    return f'<ul class="legend"{more}>{items}</ul>' if entries else ""
