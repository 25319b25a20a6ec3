"""signals/NAME.parquet and its parts: a row per prompt with id, value, the signal's columns, `skipped` and `over`.

`skipped` is the reason for a missing value; `over` is what the value is computed over: solution, rollout or prompt. The
file's metadata name the model that the values are of.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from learnalign.errors import LearnAlignError
from learnalign.policy import NamedModel, identify, other_than_policy
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet
from learnalign.signals.rendered import RenderedPrompt
from learnalign.signals.signal import Signal, SignalRow

MODEL = b"learnalign.model"


def signal_fingerprint(run: RunDir, signal: Signal, model: NamedModel | None = None) -> str:
    """Fingerprint of everything that the signal's values depend on; `model`: that they are of, None is the run's policy."""
    base, more, other = run.fingerprint("signal"), signal.depends_on(run), other_than_policy(run, model)
    parts = [base, more] if other is None else [base, more, other]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16] if any(parts[1:]) else base


def stored_fingerprint(run: RunDir, signal: Signal) -> str:
    """The fingerprint that the signal's file must have, with the model that it names, as this model is now."""
    stored = stored_model(run.signal_file(signal.name))
    return signal_fingerprint(run, signal, stored and _as_it_is_now(run, stored))


def _as_it_is_now(run: RunDir, model: NamedModel) -> NamedModel:
    try:
        return identify(run, model.name, "signal.policy")
    except LearnAlignError:  # deleted since; the values are still its own
        return model


def stored_model(path: Path) -> NamedModel | None:
    """The model that a signal's file or part names; None if there is no file, or it names none: the run's policy."""
    if not path.is_file():
        return None
    named = (read_parquet(path, ["id"]).schema.metadata or {}).get(MODEL)
    return NamedModel(**json.loads(named)) if named else None


def with_model(table: pa.Table, model: NamedModel | None) -> pa.Table:
    """`table`, with the model that its values are of in its metadata."""
    if model is None:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), MODEL: json.dumps(asdict(model)).encode()})


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
