"""The whole pipeline on the embedded model: what the command writes is what the paper's formulas give."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

import learnalign
from learnalign.config import load_config
from learnalign.demo import MODEL
from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout
from learnalign.gradients.reference import LogProbs, with_reference
from learnalign.rundir import RunDir

SETTINGS = [
    "data.limit=64",
    "warmup.size=6",
    "warmup.num_train_epochs=1",
    "rollout.engine=transformers",
    "executor.shard_size=24",
    "select.size=12",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of the command line on 64 prompts of the embedded pool."""
    directory = tmp_path_factory.mktemp("pipeline") / "run"
    overrides = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "learnalign_cli", "run", str(directory), "--config", "demo", "--json", *overrides]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["chosen"] == 12
    return RunDir.open(directory)


def features_of(run: RunDir) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in sorted((run.path / "gradients").glob("part-*.safetensors")):
        with safe_open(path, framework="np") as file:
            found |= dict(
                zip(json.loads(file.metadata()["ids"]), file.get_tensor("features").astype(np.float64), strict=True)
            )
    return found


def test_the_subset_is_equation_8s_top_n(run: RunDir) -> None:
    """Float64 brute force: S formed whole from success.parquet and the stored features, row means, ties by id."""
    success = {row["id"]: row for row in pq.read_table(run.success_file).to_pylist()}
    features = features_of(run)
    prompts = pq.read_table(run.prompts_file).to_pylist()
    dim = run.config.grad.dim
    rate = np.array([success[prompt["id"]]["correct"] / success[prompt["id"]]["scored"] for prompt in prompts])
    learnability = rate * (1 - rate)
    phi = np.stack([features.get(prompt["id"], np.zeros(dim)) for prompt in prompts])
    assert np.allclose(np.linalg.norm(phi[learnability > 0], axis=1), 1.0, atol=1e-3)  # stored in float16
    norms = np.where((length := np.linalg.norm(phi, axis=1)) > 0, length, 1.0)
    matrix = np.outer(learnability, learnability) * (phi @ phi.T) / np.outer(norms, norms)
    score = matrix.mean(axis=1)
    order = sorted(range(len(prompts)), key=lambda i: (-score[i], prompts[i]["id"]))
    chosen = [prompts[i] for i in order[:12]]
    subset = [json.loads(line) for line in run.subset_file("learnalign").read_text().splitlines()]
    assert [(row["id"], row["prompt"], row["answer"]) for row in subset] == [
        (prompt["id"], prompt["messages"], prompt["answer"]) for prompt in chosen
    ]
    stored = {row["id"]: row["score"] for row in pq.read_table(run.scores_file("learnalign")).to_pylist()}
    assert np.allclose([stored[prompt["id"]] for prompt in prompts], score, rtol=1e-4, atol=1e-9)  # float16


def test_success_rates_are_those_of_the_stored_rollouts(run: RunDir) -> None:
    rows = [
        row for path in sorted((run.path / "rollouts").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) == 64 * 8
    for entry in pq.read_table(run.success_file).to_pylist():
        rewards = [row["reward"] for row in rows if row["id"] == entry["id"] and row["reward"] is not None]
        assert (entry["scored"], entry["correct"]) == (len(rewards), sum(rewards))
        p = sum(rewards) / len(rewards)
        assert entry["learnability"] == pytest.approx(p * (1 - p))


def brute_force_gradient(
    policy: Any, reference: Any, prompt: list[int], completion: list[int], advantage: float, beta: float
) -> torch.Tensor:
    """Eq. 7 of one rollout by plain autograd in float64: batch of one, no hooks, all linear layers of the blocks."""
    ids = torch.tensor([prompt + completion])
    target = torch.tensor(completion)

    def log_probs(model: Any) -> torch.Tensor:
        logits = model(ids).logits[0, len(prompt) - 1 : -1]
        return torch.log_softmax(logits, dim=-1)[torch.arange(len(completion)), target]

    log_pi = log_probs(policy)
    with torch.no_grad():
        c = advantage + beta * (torch.exp(log_probs(reference) - log_pi) - 1)
    parameters = list(policy.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad((c * log_pi).mean(), parameters)])


@pytest.mark.parametrize("width", [None, 32], ids=["default width", "width below every layer's"])
def test_projected_cosines_follow_full_gradients(run: RunDir, width: int | None) -> None:
    load = AutoModelForCausalLM.from_pretrained
    policy, reference = load(run.warmup_dir, dtype=torch.float64), load(MODEL, dtype=torch.float64)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((run.path / "rollouts").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            groups.setdefault(row["id"], []).append(row)
    samples: list[Sample] = []
    gradients: list[torch.Tensor] = []
    for id, group in groups.items():
        rewards = np.array([row["reward"] for row in group if row["reward"] is not None])
        if len(samples) == 24 or not 0 < rewards.mean() < 1:
            continue
        row = min((row for row in group if row["reward"] == 1.0), key=lambda row: row["sample"])
        advantage = float((1.0 - rewards.mean()) / (rewards.std(ddof=1) + 1e-4))
        prompt, completion = row["prompt_ids"], row["completion_ids"]
        samples.append(Sample(id, prompt, [UsedRollout(completion, advantage)]))
        gradients.append(brute_force_gradient(policy, reference, prompt, completion, advantage, 0.04))
    assert len(samples) >= 16
    if width is None:
        stored = features_of(run)
        phi = torch.from_numpy(np.stack([stored[sample.id] for sample in samples]))
    else:
        settings = GradientSettings(width=width, dim=8192, beta=0.04)
        small = [load(path, dtype=torch.float32) for path in (run.warmup_dir, MODEL)]
        phi = (
            GradientEngine(small[0], settings)
            .features(with_reference(samples, LogProbs(small[1]).of(samples)))
            .double()
        )
    cosines = [torch.nn.functional.normalize(each, dim=1) for each in (torch.stack(gradients), phi)]
    pairs = torch.triu_indices(len(samples), len(samples), offset=1)
    exact, projected = ((unit @ unit.T)[pairs[0], pairs[1]].numpy() for unit in cosines)
    assert np.corrcoef(exact, projected)[0, 1] > 0.95


def test_running_again_does_no_work_again(run: RunDir) -> None:
    files = sorted(
        path
        for path in run.path.rglob("*.*")
        if path.suffix in {".parquet", ".safetensors"} and path.parent.name != "scores" and path != run.success_file
    )
    before = [(path.stat().st_mtime_ns, path.stat().st_ino) for path in files]
    for stage in (learnalign.warmup, learnalign.rollout, learnalign.grad):
        stage(RunDir.open(run.path))
    assert [(path.stat().st_mtime_ns, path.stat().st_ino) for path in files] == before


@pytest.mark.slow
def test_grad_before_rollout_draws_the_same_rollouts(run: RunDir, tmp_path: Path) -> None:
    overrides = [*SETTINGS, "warmup.size=0", "data.limit=10", "executor.shard_size=4", "select.size=2"]
    one, other = (RunDir.create(tmp_path / name, load_config("demo", overrides)) for name in ("one", "other"))
    learnalign.grad(one)
    learnalign.rollout(other)
    learnalign.grad(other)
    assert pq.read_table(one.success_file).equals(pq.read_table(other.success_file))
    assert {id: phi.tolist() for id, phi in features_of(one).items()} == {
        id: phi.tolist() for id, phi in features_of(other).items()
    }
