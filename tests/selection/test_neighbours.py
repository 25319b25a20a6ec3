"""The nearest gradients of a prompt against all cosines in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from learnalign.errors import InputError, RunError
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_parquet, read_safetensors
from learnalign.selection.neighbours import neighbours
from learnalign_cli.app import app
from tests.report.runs import GROUP, new_run, whole_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return whole_run(tmp_path_factory.mktemp("near") / "run", [f"What is {i} + {i % 7}?" for i in range(50)])


def cosines_with(run: RunDir, id: str) -> dict[str, float]:
    """The other prompts' cosines with `id`, in float64."""
    rows = {}
    for shard in run.shards():
        tensors, metadata = read_safetensors(run.gradients_file(shard))
        rows |= zip(json.loads(metadata["ids"]), tensors["features"].double().numpy(), strict=True)
    return {other: float(row @ rows[id]) for other, row in rows.items() if other != id}


def learnable(run: RunDir) -> list[str]:
    table = read_parquet(run.success_file).to_pylist()
    return [row["id"] for row in table if 0 < row["correct"] < GROUP]


@pytest.mark.parametrize("count", [1, 5, 1000])
def test_they_are_the_largest_cosines_of_all_shards(run: RunDir, count: int) -> None:
    for id in learnable(run)[::7]:
        exact = cosines_with(run, id)
        expected = sorted(exact, key=lambda other: -exact[other])[:count]
        near = neighbours(run, id, count)
        assert [one.prompt.id for one in near] == expected
        np.testing.assert_allclose([one.cosine for one in near], [exact[other] for other in expected], atol=1e-12)
        rates = dict(
            zip(*(read_parquet(run.success_file)[name].to_pylist() for name in ("id", "success_rate")), strict=True)
        )
        assert [one.success_rate for one in near] == [rates[other] for other in expected]


def test_a_prompt_without_a_gradient_has_no_neighbours(run: RunDir, tmp_path: Path) -> None:
    solved = next(row["id"] for row in read_parquet(run.success_file).to_pylist() if row["correct"] == GROUP)
    with pytest.raises(InputError, match=f"prompt {solved} has no gradient.*learnalign status"):
        neighbours(run, solved, 3)
    with pytest.raises(InputError, match="projection: exact has none"):
        neighbours(new_run(tmp_path / "exact", "grad.projection=exact"), solved, 3)


def test_show_prints_them_below_the_prompt(run: RunDir) -> None:
    id = learnable(run)[0]
    text = CliRunner().invoke(app, ["show", str(run.path), "--id", id, "--neighbours", "3"]).output
    near = neighbours(run, id, 3)
    lines = text.splitlines()
    assert id in lines[0]
    places = [next(i for i, line in enumerate(lines) if one.prompt.id in line) for one in near]
    assert places == sorted(places)
    assert all(f"{one.cosine:.3f}" in lines[place] for one, place in zip(near, places, strict=True))
    (row,) = json.loads(
        CliRunner().invoke(app, ["show", str(run.path), "--id", id, "--neighbours", "3", "--json"]).output
    )
    assert [one["id"] for one in row["neighbours"]] == [one.prompt.id for one in near]


def test_neighbours_are_those_of_a_prompt_that_is_named(run: RunDir) -> None:
    result = CliRunner().invoke(app, ["show", str(run.path), "--neighbours", "3"])
    assert result.exit_code == 2
    assert "--neighbours needs --id" in result.output


def test_before_grad_the_command_is_named(tmp_path: Path) -> None:
    run = whole_run(tmp_path / "run", ["What is 1 + 1?", "What is 2 + 2?"] * 10)
    for shard in run.shards():
        run.gradients_file(shard).unlink()
    with pytest.raises(RunError, match=r"missing; run `learnalign grad"):
        neighbours(run, learnable(run)[0], 3)
