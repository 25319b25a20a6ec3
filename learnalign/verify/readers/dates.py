"""Dates and times of day."""

from __future__ import annotations

import re

from learnalign.verify.forms import Clock, Date, Form, Ratio, Read, key
from learnalign.verify.readers.numbers import read_ratio

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_MONTH = "(?P<month>" + "|".join(f"{month[:3]}(?:{month[3:]})?" for month in _MONTHS) + r"|sept)\.?"
_DATES = (
    re.compile(rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,?\s*(?P<year>\d{{4}}))?", re.IGNORECASE),
    re.compile(
        rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)?\s+{_MONTH}(?:\s*,?\s*(?P<year>\d{{4}}))?", re.IGNORECASE
    ),
    re.compile(rf"{_MONTH}\s*,?\s*(?P<year>\d{{4}})(?P<day>)", re.IGNORECASE),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
)
_CLOCK = re.compile(
    r"(\d{1,2})\s*:\s*([0-5]\d)(?:\s*(a|p)\s*\.?\s*m\b\.?)?|(\d{1,2})\s*(a|p)\s*\.?\s*m\b\.?", re.IGNORECASE
)


def read_date(text: str, read: Read) -> Form | None:
    """Read a date: 5 March 2020, March 5th, 2020-03-05."""
    for pattern in _DATES:
        if match := pattern.fullmatch(text.strip(". ")):
            month = match["month"].lower()
            number = (
                int(month)
                if month.isdigit()
                else 1 + next(i for i, name in enumerate(_MONTHS) if name[:3] == month[:3])
            )
            year, day = match["year"], match["day"]
            if number <= 12 and int(day or 1) <= 31:
                return Date(int(year) if year else None, number, int(day) if day else None, text=key(text))
    return None


def read_clock(text: str, read: Read) -> Form | None:
    """Read a time of day, 3:10 or 3:10 p.m., which may also be a ratio."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, half = int(match[1] or match[4]), (match[3] or match[5] or "").lower()
    if hour > 23:
        return None
    ratio = None if half or len(match[1]) > 2 else read_ratio(text, read)
    return Clock(60 * hour + int(match[2] or 0), half, ratio if isinstance(ratio, Ratio) else None, text=key(text))
