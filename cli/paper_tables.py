"""A paper's table on a terminal: ours, the paper's numbers and the difference, and the differences between arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common import print_table

if TYPE_CHECKING:
    from learnalign.papers.contrasts import Contrast
    from learnalign.papers.measures import Entry
    from learnalign.papers.table import Table

MINUS = "−"


def show_table(table: Table, found: Sequence[Entry], compared: Sequence[Contrast]) -> None:
    """Print every panel that has an arm, the differences, and the notes."""
    print(f"{table.title} ({table.source})" if table.source else table.title)
    for panel in table.panels:
        heads = [_head(*column, sizes=len(table.sizes_of(panel)) > 1) for column in table.columns(panel)]
        rows: list[list[Any]] = []
        for arm in dict.fromkeys(entry.arm for entry in found if entry.panel == panel):
            own = [entry for entry in found if (entry.panel, entry.arm) == (panel, arm)]
            rows += _rows(table.arm_label(arm), own)
        if rows:
            spread = "standard deviation of rounds" if any(entry.stds for entry in found) else "standard error"
            print_table(f"{table.panel_label(panel)} (± {spread})", ["", "", *heads], rows)
    if compared:
        _show_contrasts(table, compared)
    for note in table.notes:
        print(note)


def _rows(name: str, own: Sequence[Entry]) -> list[list[Any]]:
    """Ours, and if the paper has numbers theirs and the difference below it."""
    rows: list[list[Any]] = [[name, "ours", *map(_ours, own)]]
    if any(entry.published is not None for entry in own):
        rows.append(["", "paper", *(_with_spread(entry.published, entry.published_std) for entry in own)])
        rows.append(["", "difference", *(_signed(entry.difference) for entry in own)])
    return rows


def _head(size: Any, measure: str, test: str | None, *, sizes: bool) -> str:
    from learnalign.papers.table import size_text

    words = [size_text(size) if size != "all" else "", test or measure]
    return ", ".join(word for word in (words if sizes else words[1:]) if word)


def _ours(entry: Entry) -> str:
    return _with_spread(entry.mean, entry.mean_std if entry.stds else entry.standard_error)


def _with_spread(value: float | None, spread: float | None) -> str:
    if value is None:
        return "–"
    return _number(value) if spread is None else f"{_number(value)} ± {_number(spread)}"


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2g}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{'+' if value >= 0 else MINUS}{_number(abs(value))}"


def _show_contrasts(table: Table, compared: Sequence[Contrast]) -> None:
    from learnalign.papers.table import size_text

    rows = []
    for each in compared:
        interval = "–" if each.low is None else f"{_signed(each.low)} to {_signed(each.high)}"
        p = "–" if each.adjusted is None else f"{each.adjusted:.3f}" + (" (primary)" if each.primary else "")
        what = f"{table.arm_label(each.arm)} {MINUS} {table.arm_label(each.against)}"
        where = [table.panel_label(each.panel), size_text(each.size)]
        rows.append([*where, what, each.seeds, _signed(each.difference), interval, p])
    columns = ["panel", "size", "difference of", "seeds", "mean", "95 % from to", "p after Holm"]
    print_table("differences paired by seed", columns, rows)
