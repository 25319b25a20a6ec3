"""Models on several devices. There is one device with numbers here, so torch's meta device, which has none, stands for another;
accelerate's hooks, which move what layers read, run on the CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from torch import Tensor, nn

from learnalign.config import apply_overrides, build_config
from learnalign.errors import InputError, RunError
from learnalign.executor import local
from learnalign.gradients import grad, stage
from learnalign.gradients.capture.sites import Norm, Site, Sites, tapped
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.projections.dense import Dense
from learnalign.gradients.projections.kronecker import Kronecker
from learnalign.gradients.projections.totals import Totals
from learnalign.gradients.stage import gpus_of
from learnalign.policy import load_policy, load_reference, loading
from learnalign.policy.loading import check_spread
from tests.gradients.pool import run_with_rollouts
from tests.gradients.tiny import random_samples, referred, tiny_model
from tests.tiny import make_run


class Linear(nn.Linear):
    """Takes its input from any device, inside its own call, as accelerate's hooks do."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.device))


class LayerNorm(nn.LayerNorm):
    """Takes its input from any device, too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.device))


class Devices(Dense):
    """A sink that notes where a layer's input is."""

    def __init__(self) -> None:
        super().__init__(Sites(), dim=4, width=4, seed=0)
        self.inputs: list[torch.device] = []

    def on_input(self, site: Site, x: Tensor) -> Tensor:
        self.inputs.append(x.device)
        return x


def test_a_tap_sees_what_a_layer_reads_on_the_layers_own_device() -> None:
    """Layers on the CPU, and on torch's meta device, which has no numbers."""
    first, norm, second = Linear(8, 8), LayerNorm(8, device="meta"), Linear(8, 8, device="meta")
    unit = nn.LayerNorm(8, device="meta")
    sites = Sites([Site("a", first, "a"), Site("b", second, "b")], [Norm("norm", norm, "norm", unit)])
    sink = Devices()
    for layer in (first, norm, second, unit):
        layer.requires_grad_(False)
    with torch.enable_grad(), tapped(sites, sink, 3):
        second(norm(first(torch.zeros(3, 5, 8))))
    assert sink.inputs == [torch.device("cpu"), torch.device("meta")]


@pytest.mark.parametrize("kind", [Kronecker, Dense])
def test_features_of_layers_on_two_devices_gather_on_one(kind: Any) -> None:
    sites = [Site(name, Linear(8, 8, device=device), f"{name}.input") for name, device in (("a", "cpu"), ("b", "meta"))]
    with torch.no_grad():
        sink = kind(Sites(sites), dim=64, width=4, seed=0)
        sink.begin(3, torch.device("meta"), torch.float32)
        for site in sites:
            x = torch.ones(3, 5, 8, device=site.weight.device)
            sink.on_gradient(site, sink.on_input(site, x), x)
        own = sink._totals.on(torch.device("cpu")).clone()  # what the layer on the CPU adds, in numbers
        assert sink.features.device == torch.device("meta")
        alone = kind(Sites(sites[:1]), dim=64, width=4, seed=0)
        alone.begin(3, torch.device("cpu"), torch.float32)
        x = torch.ones(3, 5, 8)
        alone.on_gradient(sites[0], alone.on_input(sites[0], x), x)
    assert torch.equal(own, alone.features)
    assert own.norm() > 0


def test_totals_are_the_sum_over_devices() -> None:
    totals = Totals(2, 3, torch.device("cpu"), torch.float64)
    totals._sums[torch.device("meta")] = torch.full((2, 3), 2.0, dtype=torch.float64)  # stands for another device
    totals.on(torch.device("cpu")).add_(1)
    assert totals.on(torch.device("meta")).sum() == 12
    assert totals.gathered().tolist() == [[3.0] * 3] * 2
    assert totals.gathered().tolist() == [[3.0] * 3] * 2  # counted once


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("projection", ["kronecker", "dense"])
def test_features_are_the_same_under_accelerates_hooks(kind: str, projection: str) -> None:
    plain, hooked, reference = tiny_model(kind), tiny_model(kind), tiny_model(kind, seed=1)
    parts = ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head"]
    dispatch_model(hooked, {part: "cpu" for part in parts}, main_device="cpu", force_hooks=True)
    layer: Any = hooked.get_submodule("model.layers.1")
    assert layer._hf_hook.execution_device == "cpu"
    settings = GradientSettings(beta=0.04, dim=512, width=16, projection=projection)
    samples = referred(random_samples(4, rollouts=2), reference)
    expected = GradientEngine(plain, settings).features(samples)
    torch.testing.assert_close(GradientEngine(hooked, settings).features(samples), expected, rtol=0, atol=0)
    assert expected.norm(dim=1).min() > 0


def test_the_gradients_policy_and_reference_are_loaded_by_the_device_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def read(where: str, path: str, **options: Any) -> nn.Module:
        asked.append(options["device_map"])
        return tiny_model()

    monkeypatch.setattr(loading, "read_model", read)
    monkeypatch.setattr(loading, "check_directory", lambda *_: None)
    for device_map, expected in (("auto", "auto"), (None, torch.device("cpu"))):
        run = make_run(tmp_path / str(device_map), model={"device_map": device_map})
        asked.clear()
        load_policy(run, spread=True), load_reference(run.config, spread=True), load_policy(run)
        assert asked == [expected, expected, torch.device("cpu")]


def test_what_does_not_fit_into_the_gpus_is_refused() -> None:
    check_spread({"": "cpu"}, "model.name m")
    check_spread({"model.layers.0": 0, "model.layers.1": 1}, "model.name m")
    with pytest.raises(InputError, match=r"leaves 2 parts of it outside the GPUs \(first model.layers.1\)"):
        check_spread({"model.layers.0": 0, "model.layers.1": "cpu", "lm_head": "disk"}, "model.name m")


def test_the_device_map_is_in_no_fingerprint(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    changed = build_config(apply_overrides(run.config.model_dump(mode="json"), ["model.device_map=auto"]), "test")
    stages = ("pool", "warmup", "rollout", "grad", "select")
    before = [run.fingerprint(stage) for stage in stages]
    run.config = changed
    assert [run.fingerprint(stage) for stage in stages] == before


def test_exact_gradients_of_a_spread_model_are_refused(tmp_path: Path) -> None:
    model = {"device_map": "auto"}
    with pytest.raises(InputError, match=r"--verify takes gradients of a model on one device.* set that to null"):
        grad(make_run(tmp_path / "verify", model=model), verify=4)
    exact = make_run(tmp_path / "exact", model=model, grad={"projection": "exact"})
    with pytest.raises(InputError, match="grad.projection: exact takes gradients of a model on one device"):
        grad(exact)


@pytest.mark.parametrize(
    ("executor", "gpus"),
    [
        ({}, 4),
        ({"devices": 2}, 2),
        ({"devices": [0, 3, 1]}, 3),
        ({"gpus_per_worker": 2}, 1),  # which the executor takes in place of it
        ({"kind": "ray"}, 1),
    ],
)
def test_a_model_that_is_spread_has_the_gpus_for_it_in_one_worker(
    executor: dict[str, Any], gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1", "2", "3"])
    settings = {"model": {"name": "demo", "device_map": "auto"}, "data": {"path": "demo"}, "executor": executor}
    assert gpus_of(build_config(settings)) == gpus
    assert gpus_of(build_config({**settings, "model": {"name": "demo"}})) == 1
    if executor.get("kind") != "ray":
        groups = local.groups_of(executor.get("devices", "auto"), max(gpus, executor.get("gpus_per_worker", 1)))
        assert [len(group) for group in groups] == {4: [4], 2: [2, 2], 3: [3], 1: [2, 2]}[gpus]


def test_grad_asks_for_these_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(local, "visible_gpus", lambda: ["0", "1"])
    monkeypatch.setattr(stage, "execute", lambda run, work: asked.append(work.gpus))
    run = run_with_rollouts(tmp_path, [[1.0, 0.0]], 2, model={"name": str(tmp_path / "model"), "device_map": "auto"})
    with pytest.raises(RunError):  # there are no gradients then
        grad(run)
    assert asked == [2]
