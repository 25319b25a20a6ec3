"""`compare --norms`: gradient norms and response lengths against the files they come from."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from scipy.stats import rankdata
from typer.testing import CliRunner

from learnalign.errors import RunError
from learnalign.rundir import RunDir
from learnalign.rundir.files import write_parquet
from learnalign.selection import gradient_norms
from learnalign_cli.app import app
from tests.gradients.pool import REWARDS, run_with_rollouts
from tests.selection.measured import write_gradients

GROUPS: list[list[float | None]] = [REWARDS[i % len(REWARDS)] for i in range(24)]
LEARNABLE = [0 < sum(r or 0 for r in group) < sum(r is not None for r in group) for group in GROUPS]


def measured(folder: Path, **grad: Any) -> RunDir:
    """Rollouts of random lengths, and random gradients of the prompts with V > 0."""
    run = run_with_rollouts(folder, count=24, grad=grad)
    write_gradients(
        run, [1 if learnable else None for learnable in LEARNABLE], np.random.default_rng(1).normal(size=(24, 8))
    )
    return run


def lengths(run: RunDir, which: str) -> dict[str, float]:
    """By id, mean tokens of the first correct rollout or of all scored ones, of prompts with V > 0."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((run.path / "rollouts").glob("part-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            groups.setdefault(row["id"], []).append(row)
    result = {}
    for id, rows in groups.items():
        scored = [row for row in rows if row["reward"] is not None]
        correct = [row for row in scored if row["reward"] == 1.0]
        if 0 < len(correct) < len(scored):
            used = correct[:1] if which == "one-correct" else scored
            result[id] = float(np.mean([len(row["completion_ids"]) for row in used]))
    return result


def stored_norms(run: RunDir) -> dict[str, float]:
    result = {}
    for path in (run.path / "gradients").glob("part-*.safetensors"):
        with safe_open(path, framework="np") as file:
            result |= dict(zip(json.loads(file.metadata()["ids"]), file.get_tensor("norms").tolist(), strict=True))
    return result


@pytest.mark.parametrize("which", ["one-correct", "all"])
def test_a_row_joins_the_norm_with_the_length_of_the_rollouts_it_is_of(tmp_path: Path, which: str) -> None:
    run = measured(tmp_path, rollouts=which)
    norms = gradient_norms(run)
    tokens, norm = lengths(run, which), stored_norms(run)
    assert norms.prompts == sum(LEARNABLE) == len(norm)
    with norms.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"]: float(row["norm"]) for row in rows} == pytest.approx(norm)
    assert {row["id"]: float(row["tokens"]) for row in rows} == tokens
    rates = {row["id"]: row["success_rate"] for row in pq.read_table(run.success_file).to_pylist()}
    assert all(float(row["success_rate"]) == rates[row["id"]] for row in rows)
    ids = list(norm)
    ranks = [rankdata([values[id] for id in ids]) for values in (norm, tokens)]
    assert norms.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_norms_of_exact_alignments_are_read_too(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path, count=24, grad={"projection": "exact"})
    ids = list(lengths(run, "one-correct"))
    table = pa.table({"id": ids, "norm": np.arange(1.0, len(ids) + 1), "alignment": np.zeros(len(ids))})
    write_parquet(run.exact_file, table, run.fingerprint("grad"))
    norms = gradient_norms(run)
    assert dict(zip(norms.ids, norms.norm, strict=True)) == dict(zip(ids, range(1, len(ids) + 1), strict=True))


def test_the_command_shows_and_draws_what_is_in_the_table(tmp_path: Path) -> None:
    run = measured(tmp_path)
    told = json.loads(CliRunner().invoke(app, ["compare", str(run.path), "--norms", "--json"]).stdout)
    page = Path(told["plot"]).read_text(encoding="utf-8")
    with Path(told["table"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    dots = re.findall(r'<circle class="s(\d)" cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>prompt (\S+):', page)
    assert [id for *_, id in dots] == [row["id"] for row in rows]
    assert [int(kind) for kind, *_ in dots] == [min(3, int(4 * float(row["success_rate"]))) for row in rows]
    x, y = (np.array([float(dot[i]) for dot in dots]) for i in (1, 2))  # in pixels, from the left and from the top
    tokens, norm = (np.log([float(row[name]) for row in rows]) for name in ("tokens", "norm"))
    assert np.corrcoef(x, tokens)[0, 1] == pytest.approx(1, abs=1e-5)
    assert np.corrcoef(y, norm)[0, 1] == pytest.approx(-1, abs=1e-5)
    text = CliRunner().invoke(app, ["compare", str(run.path), "--norms"]).stdout
    assert f"over {sum(LEARNABLE)} prompts: {told['spearman']:.3f}" in text


def test_norms_without_gradients_name_the_command_that_makes_them(tmp_path: Path) -> None:
    run = run_with_rollouts(tmp_path)
    with pytest.raises(RunError, match=f"learnalign grad {run.path}"):
        gradient_norms(run)
    result = CliRunner().invoke(app, ["compare", str(run.path), "--norms", "-n", "3"])
    assert result.exit_code == 2
    assert "give one of them" in result.stderr
