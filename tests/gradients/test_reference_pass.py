"""log π_ref in a pass of its own: the gradients of two models at once, one model in memory, files that are made once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from learnalign.errors import RunError
from learnalign.gradients import LogProbs, Sample, grad
from learnalign.gradients import inputs as inputs_module
from learnalign.gradients import reference as reference_module
from learnalign.gradients.capture.batching import Batch
from learnalign.gradients.capture.sharing import tree_inputs
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.logprobs import token_log_probs
from learnalign.gradients.passes import Passes
from learnalign.gradients.reference import refer, sample_reader
from learnalign.policy import load_reference
from learnalign.policy.parts import head_of, last_hidden
from learnalign.rollouts.success import load_success
from learnalign.rundir import RunDir, Slice
from learnalign.rundir.checking import find_problems
from learnalign.rundir.files import read_parquet, read_safetensors, write_parquet
from tests.gradients.pool import run_with_rollouts, write_rollouts
from tests.gradients.test_stage import stored
from tests.gradients.tiny import long_prompts, most_branches, random_samples, referred, tiny_model
from tests.tiny import save_model

SHARDS = {"shard_size": 4}  # three, each with gradients


def with_reference(folder: Path, **sections: Any) -> RunDir:
    """A run of three shards with rollouts, whose reference is another model than its policy."""
    other = str(save_model(folder / "other", seed=7))
    return run_with_rollouts(folder, **{"executor": SHARDS, "model": {"reference": other}, **sections})


def changed(run: RunDir, **sections: dict[str, Any]) -> Any:
    """The run's settings with some of these sections' keys changed."""
    parts = {name: getattr(run.config, name).model_copy(update=keys) for name, keys in sections.items()}
    return run.config.model_copy(update=parts)


def files(run: RunDir) -> dict[str, tuple[int, bytes]]:
    """When each file of log π_ref was written, and what is in it."""
    paths = sorted(run.path.glob("rollouts/reference-*.safetensors"))
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


class TwoModels(GradientEngine):
    """The way without a pass: the reference runs on every batch of the gradients, beside the policy."""

    other: torch.nn.Module

    def _reference(self, batch: Batch) -> torch.Tensor:
        inputs = () if batch.branches is None else tree_inputs(batch.branches, torch.float32)
        with torch.no_grad():
            hidden = last_hidden(self.other, batch.token_ids, *inputs).flatten(0, 1)[batch.positions]
            return token_log_probs(hidden, batch.targets, head_of(self.other), self.settings.temperature)


@pytest.mark.parametrize(
    ("projection", "which", "beta", "temperature"),
    [
        ("kronecker", "one-correct", 0.04, 1.3),
        pytest.param("kronecker", "all", 0.5, 0.7, marks=pytest.mark.slow),
        pytest.param("exact", "one-correct", 0.5, 0.7, marks=pytest.mark.slow),
        pytest.param("exact", "all", 0.04, 1.3, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_two_models_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beta: float, temperature: float, which: str, projection: str
) -> None:
    settings = {"beta": beta, "rollouts": which, "projection": projection, "feature_dtype": "float32"}
    runs = [
        with_reference(tmp_path / name, grad=settings, rollout={"temperature": temperature, "num_generations": 4})
        for name in ("pass", "two")
    ]
    grad(runs[0])
    assert files(runs[0])

    def two_models(policy: torch.nn.Module, settings: Any) -> TwoModels:
        engine = TwoModels(policy, settings)
        engine.other = load_reference(runs[1].config)
        return engine

    monkeypatch.setattr(inputs_module, "GradientEngine", two_models)
    grad(runs[1])
    if projection == "exact":
        one, two = (read_parquet(run.exact_file).to_pandas().set_index("id") for run in runs)
        for column in ("norm", "alignment"):
            torch.testing.assert_close(
                *(torch.tensor(each[column].values) for each in (one, two)), rtol=1e-5, atol=1e-7
            )
        return
    first, second = stored(runs[0]), stored(runs[1])
    assert first.keys() == second.keys()
    assert len(first) == 5
    for id, (feature, norm) in first.items():
        torch.testing.assert_close(feature, second[id][0], rtol=0, atol=1e-5)
        assert norm == pytest.approx(second[id][1], rel=1e-5)


@pytest.mark.parametrize("budget", [40, 1000])
@pytest.mark.parametrize("shared", [False, True])
def test_log_probabilities_are_those_of_each_rollout_alone(shared: bool, budget: int) -> None:
    model = tiny_model("llama" if shared else "qwen2")
    samples = [*(long_prompts(4) if shared else random_samples(12)), Sample("none", [1, 2], [])]
    assert (most_branches(LogProbs(model, 0.7, 1000), samples) > 1) == shared
    expected = [one.reference for sample in referred(samples, model, 0.7) for one in sample.rollouts]
    found = LogProbs(model, 0.7, budget).of(samples)
    torch.testing.assert_close(found, torch.cat([each for each in expected if each is not None]), rtol=1e-6, atol=1e-6)


def test_one_model_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []

    def watched(load: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            gc.collect()
            assert not [one for one in alive if one() is not None]
            model = load(*arguments, **options)
            alive.append(weakref.ref(model))
            return model

        return call

    monkeypatch.setattr(reference_module, "load_reference", watched(reference_module.load_reference))
    monkeypatch.setattr(inputs_module, "load_policy", watched(inputs_module.load_policy))
    grad(with_reference(tmp_path))
    assert len(alive) == 2


class Killed(Exception):
    """Stands for a process that is killed."""


def killed_after(monkeypatch: pytest.MonkeyPatch, batches: int, kind: type[Passes] = LogProbs) -> list[int]:
    """Have passes end after so many calls; returns how many samples each call has had."""
    over_rows, calls = Passes.over_rows, list[int]()

    def limited(self: Passes, samples: Any, *rest: Any) -> None:
        if isinstance(self, kind):
            if len(calls) == batches:
                raise Killed
            calls.append(len(samples))
        over_rows(self, samples, *rest)

    monkeypatch.setattr(Passes, "over_rows", limited)
    return calls


def test_the_pass_resumes_shard_by_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_reference(tmp_path)
    killed_after(monkeypatch, 2)
    with pytest.raises(Killed):
        grad(run)
    monkeypatch.undo()
    before = files(run)
    assert len(before) == 2
    calls = killed_after(monkeypatch, -1)
    assert grad(run).features == 5
    assert len(calls) == 1
    assert files(run).items() > before.items()


@pytest.mark.slow
def test_gradients_that_are_stored_already_need_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of earlier versions, which have no such files."""
    run = with_reference(tmp_path)
    grad(run)
    for shard in run.shards()[1:]:
        run.reference_file(shard).unlink()
    run.gradients_file(run.shards()[2]).unlink()
    assert run.is_finished("rollout")  # what is lost there makes no stage unfinished
    calls = killed_after(monkeypatch, -1)
    grad(run)
    assert len(calls) == 1
    assert list(files(run)) == ["reference-00000.safetensors", "reference-00002.safetensors"]
    monkeypatch.setattr(reference_module, "load_reference", None)
    grad(run)
    assert run.is_finished("grad")


def test_other_gradients_of_the_same_rollouts_need_no_new_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_reference(tmp_path)
    grad(run)
    before = files(run)
    monkeypatch.setattr(reference_module, "load_reference", None)
    config = changed(run, grad={"beta": 0.5, "dim": 256, "projection": "dense"})
    with RunDir.overwriting(run.path, config, None) as anew:
        assert grad(anew).features == 5
    assert files(run) == before
    assert not find_problems(run.path)


@pytest.mark.parametrize(
    "what",
    ["reference", *(pytest.param(what, marks=pytest.mark.slow) for what in ("its weights", "rollouts", "prompts"))],
)
def test_what_the_pass_depends_on_makes_it_anew(tmp_path: Path, what: str) -> None:
    run = with_reference(tmp_path)
    grad(run)
    before, config = files(run), run.config
    if what == "reference":
        config = changed(run, model={"reference": str(save_model(tmp_path / "third", seed=8))})
    elif what == "its weights":
        save_model(tmp_path / "other", seed=9)
    else:
        config = changed(run, grad={what: {"rollouts": "all", "prompts": "correct"}[what]})
    with RunDir.overwriting(run.path, config, "grad") as anew:
        grad(anew)
    after = files(run)
    assert before.keys() == after.keys()
    assert all(after[name][1] != content for name, (_, content) in before.items())
    assert not find_problems(run.path)


def test_other_tokens_are_never_taken_for_the_stored_ones(tmp_path: Path) -> None:
    run = with_reference(tmp_path)
    shard = run.shards()[0]
    refer(run, run.shards())
    rows = read_parquet(run.rollouts_file(shard))
    last = rows.to_pylist()
    for row in last:
        row["completion_ids"] = [token ^ 1 for token in row["completion_ids"]]
    write_parquet(run.rollouts_file(shard), rows.from_pylist(last, schema=rows.schema), run.fingerprint("rollout"))
    with pytest.raises(RunError, match="of other rollouts or of another reference"):
        sample_reader(run, load_success(run))(shard)
    before = files(run)
    grad(run)
    assert [name for name, content in files(run).items() if content != before[name]] == ["reference-00000.safetensors"]


def test_a_command_that_makes_gradients_anew_and_is_killed_goes_on_and_leaves_the_directory_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_reference(tmp_path)
    grad(run)
    stamps = {path: path.stat().st_mtime_ns for path in run.path.glob("gradients/*")}
    config = changed(run, model={"reference": str(save_model(tmp_path / "third", seed=8))})
    killed_after(monkeypatch, 2, GradientEngine)
    with pytest.raises(Killed), RunDir.overwriting(run.path, config, None) as anew:
        grad(anew)
    monkeypatch.undo()
    assert {path: path.stat().st_mtime_ns for path in run.path.glob("gradients/*")} == stamps
    assert not find_problems(run.path)
    assert RunDir.open(run.path).is_finished("grad")
    before, calls = files(run), killed_after(monkeypatch, -1, Passes)
    with RunDir.overwriting(run.path, config, None) as anew:
        grad(anew)
    assert len(calls) < 3  # of three shards, the stored ones are not done again
    assert files(run) == before
    assert not find_problems(run.path)


def test_rollouts_that_are_made_anew_take_theirs_with_them(tmp_path: Path) -> None:
    run = with_reference(tmp_path)
    grad(run)
    with RunDir.overwriting(run.path, run.config, "rollout") as anew:
        write_rollouts(anew)
        assert not files(anew)
    assert not files(run)
    assert not find_problems(run.path)


def test_slices_do_their_own_shards(tmp_path: Path) -> None:
    run = with_reference(tmp_path)
    for number in (2, 1):
        part = RunDir.create(run.path, run.config, slice=Slice.parse(f"{number}/2"))
        refer(part, part.shards())
        assert len(files(run)) == {2: 1, 1: 3}[number]


@pytest.mark.slow
def test_processes_share_the_pass(tmp_path: Path) -> None:
    alone, shared = (
        with_reference(tmp_path / str(count), executor={"shard_size": 4, "devices": count}) for count in (1, 2)
    )
    grad(alone)
    grad(shared)
    for shard in alone.shards():
        one, two = (read_safetensors(run.reference_file(shard))[0]["log_probs"] for run in (alone, shared))
        assert torch.equal(one, two)


@pytest.mark.slow
def test_a_comparison_with_exact_gradients_refers_if_it_has_to(tmp_path: Path) -> None:
    run = with_reference(tmp_path, grad={"dim": 8192, "width": 160})
    grad(run)
    expected = grad(run, verify=5).verification
    for shard in run.shards():
        run.reference_file(shard).unlink()
    assert grad(run, verify=5).verification == expected
    assert files(run)


def test_a_damaged_file_is_named_and_made_again_when_it_is_needed(tmp_path: Path) -> None:
    run = with_reference(tmp_path)
    refer(run, run.shards())
    file = run.reference_file(run.shards()[1])
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [(problem.file, problem.stage) for problem in find_problems(run.path)] == [
        ("rollouts/reference-00001.safetensors", "reference")
    ]
    grad(run)
    assert file.read_bytes() == content
