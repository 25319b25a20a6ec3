"""Small pools as files, and what is read from them."""

import json
from pathlib import Path
from typing import Any

from learnalign.config import DataConfig
from learnalign.prompts import read_pool

ROWS: list[dict[str, Any]] = [
    {"question": "1 + 1?", "gold": {"value": "2"}, "why": "two ones"},
    {"question": "2 + 2?", "gold": {"value": 4}, "why": None},
    {"question": "Name 3.5", "gold": {"value": "3.5"}, "why": "x"},
]

DATA: dict[str, Any] = {"prompt": "question", "answer": "gold.value", "solution": "why"}


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **data: Any) -> Any:
    return read_pool(DataConfig(path=str(path), **{**DATA, **data}))
