"""signals/NAME.parquet and its parts: a row per prompt with id, value, the signal's columns, `skipped` and `over`.

`skipped` is the reason for a missing value; `over` is what the value is computed over: solution, rollout or prompt.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from learnalign.rundir import RunDir, Shard
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Signal, SignalRow


def signal_fingerprint(run: RunDir, signal: Signal) -> str:
    """Fingerprint of everything that the signal's values depend on."""
    base, more = run.fingerprint("signal"), signal.depends_on(run)
    return hashlib.sha256(json.dumps([base, more]).encode()).hexdigest()[:16] if more else base


def part_file(run: RunDir, name: str, shard: Shard) -> Path:
    """A shard's rows, kept until the signal is complete."""
    return run.signal_file(name).parent / ".parts" / name / f"part-{shard.index:05d}.parquet"


def signal_table(signal: Signal, rendered: Sequence[RenderedPrompt], rows: Sequence[SignalRow]) -> pa.Table:
    """The table of `rows`, one per prompt; a value that is not finite becomes null."""
    rows = [_finite(row) for row in rows]
    fields = {"value": pa.float64(), **signal.columns, "skipped": pa.string()}
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in fields.items()}
    over = [one.over if signal.answers else "prompt" for one in rendered]
    ids = [one.prompt.id for one in rendered]
    return pa.table({"id": pa.array(ids, pa.string()), **columns, "over": pa.array(over, pa.string())})


def _finite(row: SignalRow) -> SignalRow:
    if row["value"] is None or math.isfinite(row["value"]):
        return row
    return {"value": None, "skipped": "its value is not finite"}
