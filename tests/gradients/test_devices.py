"""Models on several devices. There is one device here: torch's fake tensors stand for GPUs, and refuse to meet across devices;
accelerate's hooks, which move what layers read, run on the CPU.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from learnalign.config import apply_overrides, build_config
from learnalign.errors import InputError
from learnalign.gradients import grad
from learnalign.gradients.capture.sites import Embedding, Norm, Site, Sites, tapped
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.projections.dense import Dense
from learnalign.gradients.projections.kronecker import Kronecker
from learnalign.policy import load_policy, load_reference, loading
from learnalign.policy.loading import check_spread
from tests.gradients.tiny import random_samples, tiny_model
from tests.tiny import make_run


class Layers(nn.Module):
    """An embedding, a layer and a norm, on two devices, with what accelerate's hooks do between them."""

    def __init__(self, devices: tuple[str, str]) -> None:
        super().__init__()
        self.devices = devices
        self.table = nn.Embedding(11, 8, device=devices[0])
        self.first = Moving(8, 8, device=devices[0])
        self.second = Moving(8, 8, device=devices[1])
        self.norm = nn.LayerNorm(8, device=devices[1])

    def sites(self) -> Sites:
        unit = copy.deepcopy(self.norm)
        return Sites(
            [Site("first", self.first, "first.input"), Site("second", self.second, "second.input")],
            [Norm("norm", self.norm, "norm.input", unit)],
            [Embedding("table", self.table, "table.input")],
        )

    def forward(self, token_ids: Tensor) -> Tensor:
        return self.norm(self.second(self.first(self.table(token_ids))))


class Moving(nn.Linear):
    """A linear layer that takes its input from any device, as accelerate's hooks make it do inside the layer's own call."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.device))


@pytest.mark.parametrize("kind", [Kronecker, Dense])
def test_features_of_layers_on_two_devices_gather_on_one(kind: Any) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = Layers(("cuda:0", "cuda:1")).requires_grad_(False)
        sink = kind(model.sites(), dim=64, width=4, seed=0)
        if kind is Dense:
            sink.on_lookup = lambda *_: None  # it asks which tokens there are, and fake tensors hold none
        sink.begin(3, torch.device("cuda:1"), torch.float32)
        with torch.enable_grad(), tapped(model.sites(), sink, 3):
            output = model(torch.zeros(3, 5, dtype=torch.long, device="cuda:0"))
        output.backward(torch.ones_like(output))
        assert sink.features.device == torch.device("cuda:1")
        assert sink.features.shape == (3, 64)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("projection", ["kronecker", "dense"])
def test_features_are_the_same_under_accelerates_hooks(kind: str, projection: str) -> None:
    plain, hooked, reference = tiny_model(kind), tiny_model(kind), tiny_model(kind, seed=1)
    parts = ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head"]
    dispatch_model(hooked, {part: "cpu" for part in parts}, main_device="cpu", force_hooks=True)
    layer: Any = hooked.get_submodule("model.layers.1")
    assert layer._hf_hook.execution_device == "cpu"
    settings = GradientSettings(beta=0.04, dim=512, width=16, projection=projection)
    samples = random_samples(4, rollouts=2)
    expected = GradientEngine(plain, settings, reference).features(samples)
    torch.testing.assert_close(GradientEngine(hooked, settings, reference).features(samples), expected, rtol=0, atol=0)
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
    with pytest.raises(InputError, match=r"--verify takes gradients of a model on one device .* set that to null"):
        grad(make_run(tmp_path / "verify", model=model), verify=4)
    exact = make_run(tmp_path / "exact", model=model, grad={"projection": "exact"})
    with pytest.raises(InputError, match="grad.projection: exact takes gradients of a model on one device"):
        grad(exact)
