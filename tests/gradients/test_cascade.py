"""The cascade: a cheap signal keeps K prompts, and gradients are taken of exactly these; all others are counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from learnalign.ahead import plan_ahead
from learnalign.config import build_config
from learnalign.errors import InputError, RunError, Unfinished
from learnalign.gradients import grad
from learnalign.plan import plan
from learnalign.prompts import load_prompts
from learnalign.report import write_report
from learnalign.rollouts.success import load_success
from learnalign.rounds import plan_rounds
from learnalign.rundir import RunDir, Slice
from learnalign.rundir.files import is_done, read_metadata, read_parquet, read_safetensors, remove, write_parquet
from learnalign.rundir.stages import settings_of
from learnalign.selection import select
from learnalign.signals import find_signal, signal_fingerprint
from learnalign.summary import summarise
from learnalign_cli.show import show
from tests.gradients.pool import run_with_rollouts, write_rollouts
from tests.tiny import make_run

REWARDS = [[1.0, 0.0, 1.0, 0.0], [1.0] * 4, [0.0, 0.0, 1.0, 0.0], [0.0] * 4, [1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
COUNT = 24  # of these 16 with V > 0


def run_with(folder: Path, cascade: dict[str, Any] | None, **grads: Any) -> RunDir:
    return run_with_rollouts(folder, REWARDS, COUNT, grad={"cascade": cascade, **grads})


def add_signal(run: RunDir, name: str, values: Mapping[str, float | None]) -> None:
    """signals/NAME.parquet with these values, as the stage writes it."""
    columns = {"id": list(values), "value": pa.array(values.values(), pa.float64())}
    write_parquet(run.signal_file(name), pa.table(columns), signal_fingerprint(run, find_signal(name)))


def values_of(run: RunDir, modulus: int = 5) -> dict[str, float]:
    """A value for each prompt with many ties."""
    return {prompt.id: float((7 * place) % modulus) for place, prompt in enumerate(load_prompts(run))}


def ids_with_gradients(run: RunDir) -> list[str]:
    if run.config.grad.projection == "exact":
        return read_parquet(run.exact_file)["id"].to_pylist()
    return [id for shard in run.shards() for id in json.loads(read_metadata(run.gradients_file(shard))["ids"])]


def learnable(run: RunDir) -> list[str]:
    return [id for id, row in load_success(run).items() if row.learnability > 0]


@pytest.mark.parametrize("projection", ["kronecker", pytest.param("exact", marks=pytest.mark.slow)])
@pytest.mark.parametrize("keep", [1, 5, 0.25])
def test_exactly_the_best_by_the_signal_have_gradients(tmp_path: Path, projection: str, keep: float) -> None:
    run = run_with(tmp_path, {"signal": "length", "keep": keep}, projection=projection)
    values = values_of(run)
    add_signal(run, "length", values)
    result = grad(run)
    order = sorted(learnable(run), key=lambda id: (-values[id], id))
    count = keep if keep >= 1 else round(keep * COUNT)
    assert sorted(ids_with_gradients(run)) == sorted(order[:count])
    assert result.features == count
    assert result.skipped == {"solved": 4, "unsolved": 4, "cascade": 16 - count}


def test_slices_keep_what_one_command_keeps(tmp_path: Path) -> None:
    whole, shared = (run_with(tmp_path / name, {"signal": "learnability", "keep": 5}) for name in ("whole", "shared"))
    result = grad(whole)
    with pytest.raises(Unfinished):
        grad(RunDir.create(shared.path, shared.config, slice=Slice.parse("2/2")))
    grad(RunDir.create(shared.path, shared.config, slice=Slice.parse("1/2")))
    assert ids_with_gradients(shared) == ids_with_gradients(whole)
    counts = [run.read_record()["stages"]["grad"]["counts"] for run in (whole, shared)]
    assert counts[0] == counts[1]
    assert counts[0]["features"] == result.features == 5
    assert sum(counts[1].values()) - counts[1]["tokens"] == COUNT


def test_success_rates_keep_those_nearest_to_one_half(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "learnability", "keep": 6})
    grad(run)
    success = load_success(run)
    order = sorted(learnable(run), key=lambda id: (abs(success[id].correct / success[id].scored - 0.5), id))
    assert sorted(ids_with_gradients(run)) == sorted(order[:6])


def test_keeping_everything_learnable_gives_the_subset_of_no_cascade(tmp_path: Path) -> None:
    plain, cascaded = (
        run_with(tmp_path / "plain", None),
        run_with(tmp_path / "cascade", {"signal": "angle", "keep": 16}),
    )
    add_signal(cascaded, "angle", values_of(cascaded) | {learnable(cascaded)[3]: None})
    for run in (plain, cascaded):
        grad(run)
        select(run, 10)
    assert plain.subset_file("learnalign").read_bytes() == cascaded.subset_file("learnalign").read_bytes()
    assert plain.fingerprint("grad") != cascaded.fingerprint("grad")


def test_scores_are_row_means_over_the_kept_prompts(tmp_path: Path) -> None:
    """Those that are cut have a zero row and column in S, and n stays that of the whole pool."""
    full, cut = run_with(tmp_path / "full", None), run_with(tmp_path / "cut", {"signal": "learnability", "keep": 7})
    for run in (full, cut):
        grad(run)
    select(cut, 3)
    kept, vectors = ids_with_gradients(cut), {}
    for shard in full.shards():
        tensors, metadata = read_safetensors(full.gradients_file(shard))
        vectors |= dict(zip(json.loads(metadata["ids"]), tensors["features"].double().numpy(), strict=True))
    learnability = {id: row.learnability for id, row in load_success(full).items()}
    scores = {row["id"]: row for row in read_parquet(cut.scores_file("learnalign")).to_pylist()}
    for id in kept:
        alignment = sum(learnability[other] * vectors[id] @ vectors[other] for other in kept) / COUNT
        assert scores[id]["alignment"] == pytest.approx(alignment, abs=1e-6)
        assert scores[id]["score"] == pytest.approx(learnability[id] * alignment, abs=1e-6)
    for id in set(learnable(cut)) - set(kept):
        assert (scores[id]["alignment"], scores[id]["score"], scores[id]["skipped"]) == (
            None,
            0.0,
            "cut by grad.cascade",
        )


def test_prompts_without_a_value_are_kept_last(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "ifd", "keep": 15})
    values, first = values_of(run, 1000), learnable(run)[0]
    add_signal(run, "ifd", values | {first: None})
    assert grad(run).skipped["cascade"] == 1
    assert set(learnable(run)) - set(ids_with_gradients(run)) == {first}


def test_only_a_cascade_that_is_set_is_in_the_fingerprint(tmp_path: Path) -> None:
    config = run_with(tmp_path, None).config
    assert not [key for key in settings_of(config, "grad") if "cascade" in key]
    settings = config.model_dump(mode="json")
    settings["grad"]["cascade"] = {"signal": "length", "keep": 0.5}
    named = {key: value for key, value in settings_of(build_config(settings), "grad").items() if "cascade" in key}
    assert named == {"grad.cascade.signal": "length", "grad.cascade.keep": 0.5}


def test_the_choice_outlives_an_interruption_and_another_computation_of_the_signal(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "length", "keep": 5})
    add_signal(run, "length", values_of(run))
    grad(run)
    before = ids_with_gradients(run)
    run.gradients_file(run.shards()[1]).unlink()
    add_signal(run, "length", {id: -value for id, value in values_of(run).items()})
    assert grad(run).features == 5
    assert ids_with_gradients(run) == before
    remove(run.signal_file("length"))
    grad(run)  # the choice is made: the signal need not be there


def test_a_lost_choice_is_made_again_from_the_same_signal_and_refused_from_another(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "length", "keep": 5})
    add_signal(run, "length", values_of(run))
    grad(run)
    content = run.cascade_file.read_bytes()
    run.cascade_file.unlink()
    grad(run)
    assert run.cascade_file.read_bytes() == content
    run.cascade_file.unlink()
    add_signal(run, "length", {id: -value for id, value in values_of(run).items()})
    with pytest.raises(RunError, match=r"cascade\.parquet is missing.*computed again since.*grad .*--overwrite"):
        grad(run)
    assert not is_done(run.cascade_file, run.fingerprint("grad"))


def test_a_signal_that_is_not_there_is_named_with_the_commands_before_anything_is_sampled(tmp_path: Path) -> None:
    cascade = {"signal": "perplexity", "keep": 5}
    run = make_run(tmp_path / "new", grad={"cascade": cascade})
    with pytest.raises(
        InputError,
        match=r"has no signals/perplexity\.parquet; say `learnalign rollout .*`, `learnalign signal .*, then this",
    ):
        grad(run)
    assert not run.success_file.exists()
    write_rollouts(run)
    with pytest.raises(
        InputError,
        match=r"has no signals/perplexity\.parquet; say `learnalign signal .* perplexity`, then this command again",
    ):
        grad(run)
    columns = {"id": ["x"], "value": [1.0]}
    write_parquet(run.signal_file("perplexity"), pa.table(columns), "another")
    with pytest.raises(InputError, match=r"made with other settings.*signal .* perplexity --overwrite` makes it again"):
        grad(run)


def test_bad_cascades_are_refused_with_the_key(tmp_path: Path) -> None:
    for cascade, words in [
        ({"signal": "perplexty", "keep": 5}, r"grad\.cascade\.signal.*perplexty.*did you mean perplexity"),
        ({"signal": "features", "keep": 5}, r"grad\.cascade\.signal"),
        ({"signal": "length", "keep": 0}, r"grad\.cascade\.keep"),
        ({"signal": "length", "keep": 1.5}, r"grad\.cascade\.keep"),
        (
            {"signal": "length", "keep": 1.0},
            r"grad\.cascade\.keep: got 1\.0, but that may be one prompt or the whole pool",
        ),
        ({"signal": "length"}, r"grad\.cascade\.keep"),
    ]:
        with pytest.raises(InputError, match=words):
            make_run(tmp_path, grad={"cascade": cascade})
    run = run_with(tmp_path / "run", {"signal": "learnability", "keep": COUNT + 1})
    with pytest.raises(
        InputError, match=r"grad\.cascade\.keep: 25 is more than the 24 prompts of the pool; give at most 24"
    ):
        grad(run)


def test_another_cascade_is_refused_where_gradients_are(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "learnability", "keep": 5})
    grad(run)
    config = run.config.model_dump(mode="json")
    config["grad"]["cascade"]["keep"] = 6
    with pytest.raises(InputError, match=r"grad: grad\.cascade\.keep: stored 5, requested 6"):
        RunDir.create(run.path, build_config(config))


def test_what_overwrite_misses_is_named_by_the_run_directory_itself(tmp_path: Path) -> None:
    run = run_with(tmp_path, None)
    grad(run)
    config = run.config.model_dump(mode="json")
    config["grad"]["cascade"] = {"signal": "length", "keep": 5}
    with (
        pytest.raises(
            InputError, match=rf"^grad\.cascade\.signal: {run.path} has no .*`learnalign signal {run.path} length`"
        ),
        RunDir.overwriting(run.path, build_config(config), "grad") as new,
    ):
        grad(new)


def test_show_and_the_report_say_which_prompts_were_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path, {"signal": "learnability", "keep": 5})
    grad(run)
    kept, cut = ids_with_gradients(run)[0], min(run.cut_ids())
    assert run.cut_ids() == set(learnable(run)) - set(ids_with_gradients(run))
    said = {}
    for id in (kept, cut):
        show(run.path, id=id)
        said[id] = capsys.readouterr().out
    assert "no gradient: cut by grad.cascade" in said[cut]
    assert "cascade" not in said[kept]
    show(run.path, id=cut, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["cut_by_cascade"] is True
    select(run, 3)
    write_report(run)
    assert "cut by grad.cascade" in run.report_file.read_text()


def test_a_dry_run_names_a_missing_signal_and_rounds_refuse_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, grad={"cascade": {"signal": "length", "keep": 5}}, select={"size": 2})
    with pytest.raises(InputError, match=r"has no signals/length\.parquet"):
        plan(run.config, ["rollout", "grad"], run=run)
    with pytest.raises(InputError, match=r"grad\.cascade\.signal: length is computed by no stage of a round"):
        plan_rounds(run.config, [0.5, 0.5])
    grads = next(one for one in plan_ahead(run.config).stages if one.stage == "grad")
    assert grads.prompts == 5
    assert grads.disk_bytes == 5 * 512 * 2 + 3 * 2 * 8 * 512  # float16, and two sums in float64 of 3 shards


def test_status_and_select_say_what_was_cut(tmp_path: Path) -> None:
    run = run_with(tmp_path, {"signal": "learnability", "keep": 5})
    assert summarise(run)["cascade"] is None
    grad(run)
    words = "took gradients of 5 of the 16 prompts that can have one, those of the highest learnability"
    assert words in summarise(run)["cascade"]
    result = select(run, 10)
    assert result.skipped["cut by grad.cascade"] == 11
    assert result.eligible + sum(result.skipped.values()) == COUNT
    assert any(words in note for note in result.notes)
    assert "cut by grad.cascade" not in select(run, 10, "learnability").skipped
    counts = run.read_record()["stages"]["grad"]["counts"]
    assert sum(count for name, count in counts.items() if name != "tokens") == COUNT
