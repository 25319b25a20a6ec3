"""Strings of a run as HTML text: nothing in them is markup, and nothing is invisible."""

from __future__ import annotations

import html
import math
from typing import Any

# Control characters as their pictures, half surrogate pairs (which UTF-8 has not) as the replacement character.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421, 0xD: 0xA}
_PICTURES |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD) | dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def e(value: Any) -> str:
    """`value` as text of an element or attribute."""
    return html.escape(str(value).replace("\r\n", "\n").translate(_PICTURES))


def quoted(text: str, most: int | None = None) -> str:
    """A string of the data, set apart from the page's own direction of writing, shortened to `most` characters."""
    return f"<bdi>{e(clipped(text, most) if most else text) or '(empty)'}</bdi>"


def clipped(text: str, most: int) -> str:
    """Beginning and end of a text, at most `most` characters of it, with how many are left out between them."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end]} […{len(text) - most:,} characters…] {text[-end:] if end else ''}"


def short(text: str, most: int = 16) -> str:
    """A label of at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: float | None, digits: int = 3) -> str:
    """A number: all digits before the point, but no more than `digits` significant ones behind it; a dash for none."""
    if value is None or value != value:
        return "–"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 10**digits or isinstance(value, int):
        text = f"{value:,.0f}"
    else:
        text, _, power = f"{rounded:,.{digits}g}".partition("e")
        if power:
            text = f"{'' if text == '1' else f'{text}·'}10{str(int(power)).translate(_RAISED)}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def percent(part: float, whole: float) -> str:
    """A share as a whole percentage, 0 and 100 only if it is; a dash of nothing."""
    if not whole:
        return "–"
    value = 100 * part / whole
    if 0 < value < 0.5:
        return f"{value:.1g} %"
    return f"{math.floor(10 * value) / 10:.1f} %" if 99.5 <= value < 100 else f"{value:.0f} %"


def missing(what: str, command: str = "") -> str:
    """A section's place if the run lacks what it shows."""
    return f'<p class="missing">{e(what)}{f" Run <code>{e(command)}</code>." if command else ""}</p>'


def table(caption: str, columns: list[str], rows: list[list[str]], *, numeric: int = 1) -> str:
    """A table of cells that are HTML already; from column `numeric` on they are numbers, to the right."""
    kind = [' class="n"' if i >= numeric else "" for i in range(len(columns))]
    head = "".join(f'<th scope="col"{kind[i]}>{e(column)}</th>' for i, column in enumerate(columns))
    body = "".join("<tr>" + "".join(_cell(cell, i, kind[i]) for i, cell in enumerate(row)) + "</tr>" for row in rows)
    name = f"<caption>{e(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{name}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: str, place: int, kind: str) -> str:
    return f'<th scope="row">{cell}</th>' if place == 0 else f"<td{kind}>{cell}</td>"


def side_by_side(*parts: str) -> str:
    """Parts of a section beside each other if there is room."""
    return f'<div class="parts">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'
