"""signals/NAME.parquet and its parts: one row a prompt with id, value, what it was taken over, why it was skipped."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from learnalign.rundir import RunDir, Shard
from learnalign.signals.rendered import Sample
from learnalign.signals.signal import Row, Signal


def signal_fingerprint(run: RunDir, signal: Signal) -> str:
    """Of everything that the signal's values depend on."""
    base, inputs = run.fingerprint("signal"), signal.inputs(run)
    return hashlib.sha256(json.dumps([base, inputs]).encode()).hexdigest()[:16] if inputs else base


def part_file(run: RunDir, name: str, shard: Shard) -> Path:
    """Where a shard's rows wait until the signal is complete."""
    return run.signal_file(name).parent / ".parts" / name / f"part-{shard.index:05d}.parquet"


def signal_table(signal: Signal, samples: Sequence[Sample], rows: Sequence[Row]) -> pa.Table:
    """The table of some prompts; a value that is not finite becomes null."""
    rows = [_finite(row) for row in rows]
    fields = {"value": pa.float64(), **signal.columns, "skipped": pa.string()}
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in fields.items()}
    over = [sample.over if signal.answers else "prompt" for sample in samples]
    ids = [sample.prompt.id for sample in samples]
    return pa.table({"id": pa.array(ids, pa.string()), **columns, "over": pa.array(over, pa.string())})


def _finite(row: Row) -> Row:
    if row["value"] is None or math.isfinite(row["value"]):
        return row
    return {"value": None, "skipped": "its value is not finite"}
