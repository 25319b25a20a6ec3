"""All prompts as compressed blocks that the page opens as it needs them: an index of all, details of 64 at a time.

A block is JSON, gzipped, in base64. Completions are shown for the best ranked prompts first, up to a budget of characters.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learnalign.report.cosines import Cosines
from learnalign.report.gather import LONGEST_TEXT, Gathered, Success, question
from learnalign.report.text import clipped

if TYPE_CHECKING:
    import pyarrow as pa

INDEXED = 5000
DETAILED = 64
BUDGET = 40_000_000  # characters of completions in a page
LONGEST_QUESTION = 4000
SEARCHED = 200


@dataclass(frozen=True)
class Blocks:
    """Script elements of the index and of the details, and how many prompts' completions are left out."""

    index: list[str]
    details: list[str]
    without_texts: int


def make_blocks(data: Gathered, cosines: Cosines | None, budget: int = BUDGET) -> Blocks:
    """The blocks of all prompts, in the pool's order."""
    starts = range(0, len(data.prompts), INDEXED)
    index = [_script(f"index-{i}", _index(data, start, start + INDEXED)) for i, start in enumerate(starts)]
    if not data.prompts:
        return Blocks([], [], 0)
    shown = _with_texts(data, budget)
    details: list[str] = []
    for rows in _details(data, cosines, shown):
        details.append(_script(f"details-{len(details)}", rows))
    return Blocks(index, details, int((~shown & (data.lengths.completions > 0)).sum()))


def _script(name: str, value: Any) -> str:
    packed = gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 4, mtime=0)
    return f'<script type="application/octet-stream" id="{name}">{base64.b64encode(packed).decode()}</script>'


def _with_texts(data: Gathered, budget: int) -> np.ndarray:
    """Whose completions are shown: the best ranked whose characters fit the budget together."""
    used = np.cumsum(data.lengths.characters[data.order])
    shown = np.zeros(len(data.prompts), bool)
    shown[data.order[used <= budget]] = True
    return shown


def _index(data: Gathered, start: int, stop: int) -> dict[str, Any]:
    part = slice(start, stop)
    prompts = data.prompts[part]
    success: Success | None = data.success
    nothing = [None] * len(prompts)
    index: dict[str, Any] = {
        "id": [prompt.id for prompt in prompts],
        "question": [question(prompt)[:SEARCHED] for prompt in prompts],
        "answer": [clipped(prompt.answer, 80) for prompt in prompts],
        "chosen": data.chosen[part].astype(int).tolist(),
        "cut": data.lengths.cut[part].tolist(),
        "columns": [column.codes[part].tolist() for column in data.columns],
    }
    for name, column in {"correct": "correct", "scored": "scored", "p": "rate", "low": "low", "high": "high"}.items():
        index[name] = _numbers(getattr(success, column)[part]) if success else nothing
    for name in ("score", "rank", "kept"):
        index[name] = _numbers(getattr(data.ranking, name)[part]) if data.ranking else nothing
    index["skipped"] = data.ranking.skipped[part] if data.ranking else nothing
    return index


def _details(data: Gathered, cosines: Cosines | None, shown: np.ndarray) -> Iterator[list[dict[str, Any]]]:
    """Blocks of 64 prompts, whatever the size of the shards."""
    waiting: list[dict[str, Any]] = []
    for shard, table in data.rollouts():
        texts = _completions(table, {data.prompts[p].id for p in range(shard.start, shard.stop) if shown[p]})
        for place in range(shard.start, shard.stop):
            waiting.append(_detail(data, cosines, place, texts))
            if len(waiting) == DETAILED:
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def _detail(data: Gathered, cosines: Cosines | None, place: int, texts: dict[str, list[Any]]) -> dict[str, Any]:
    prompt = data.prompts[place]
    detail: dict[str, Any] = {
        "messages": [[each["role"], clipped(str(each["content"]), LONGEST_QUESTION)] for each in prompt.messages],
        "answer": clipped(prompt.answer, LONGEST_QUESTION),
        "row": prompt.row,
        "completions": texts.get(prompt.id, []),
        "stored": int(data.lengths.completions[place]),
        "tokens": int(data.lengths.tokens[place]),
    }
    if data.ranking:
        detail |= {name: _number(getattr(data.ranking, name)[place]) for name in ("alignment", "norm", "signal")}
    if cosines is not None:
        near = zip(cosines.nearest[place].tolist(), cosines.cosines[place].tolist(), strict=True)
        detail["nearest"] = [[other, round(cosine, 3)] for other, cosine in near if other >= 0]
        detail["to_chosen"] = _number(cosines.to_chosen[place])
    return detail


def _completions(table: pa.Table | None, ids: set[str]) -> dict[str, list[Any]]:
    """By id: text, reward, whether it was cut off, the answer read, the verdict's reason, of every completion."""
    if table is None or not ids:
        return {}
    names = ("id", "text", "reward", "finish_reason", "answer", "reason")
    columns = [table[n].to_pylist() if n in table.column_names else [None] * len(table) for n in names]
    texts: dict[str, list[Any]] = {}
    for id, text, reward, finish, answer, reason in zip(*columns, strict=True):
        if id in ids:
            read = None if answer is None else clipped(str(answer), 200)
            why = None if reason is None else clipped(reason, 200)
            texts.setdefault(id, []).append([clipped(text, LONGEST_TEXT), reward, int(finish == "length"), read, why])
    return texts


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.5g}")


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values.tolist()]
