"""`learnalign grad DIR --verify K`: stored features of K prompts against their exact gradients."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.errors import InputError
from learnalign.gradients.capture.batching import Row, collate
from learnalign.gradients.capture.sites import Site
from learnalign.gradients.engine import GradientEngine
from learnalign.gradients.grpo import Sample
from learnalign.gradients.inputs import make_engine, read_samples
from learnalign.gradients.result import Verification
from learnalign.policy.memory import free_memory
from learnalign.rollouts.success import Success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_metadata, read_safetensors

FEWEST = 4  # prompts that a rank correlation says anything about
SHARE = 0.3  # of the free memory that whole gradients may take


def verify_features(run: RunDir, success: Mapping[str, Success], count: int) -> Verification:
    """Compare `count` prompts that have a stored feature, chosen by the run's seed; raises InputError for fewer than 4."""
    samples, features = _chosen(run, success, count)
    if len(samples) < FEWEST:
        raise InputError(
            f"--verify {count}: needs at least {FEWEST} prompts with a gradient, the run has {len(samples)}"
        )
    engine = make_engine(run)
    if engine.head_site:
        raise InputError("--verify compares the layers of the blocks only; leave `head` out of grad.modules")
    exact = exact_gram(engine, samples)
    learnability = np.array([success[sample.id].learnability for sample in samples])
    return compare_grams((features @ features.T).numpy(), exact.cpu().numpy(), learnability)


def _chosen(run: RunDir, success: Mapping[str, Success], count: int) -> tuple[list[Sample], Float[Tensor, "K dim"]]:
    stored = {shard: json.loads(read_metadata(run.gradients_file(shard))["ids"]) for shard in run.shards()}
    every = sorted(id for ids in stored.values() for id in ids)
    chosen = set(random.Random(run.config.seed).sample(every, min(count, len(every))))
    samples, features = [], [torch.zeros(0, run.config.grad.dim, dtype=torch.float64)]
    for shard, ids in stored.items():
        if chosen.isdisjoint(ids):
            continue
        every_sample = read_samples(run.rollouts_file(shard), success, run.config.grad).samples
        compared = [sample for sample in every_sample if sample.id in chosen]
        tensors, _ = read_safetensors(run.gradients_file(shard))
        features.append(tensors["features"][[ids.index(sample.id) for sample in compared]].double())
        samples += compared
    return samples, torch.cat(features)


def exact_gram(engine: GradientEngine, samples: Sequence[Sample]) -> Float[Tensor, "K K"]:
    """Inner products of whole gradients, summed in float64: as many layers at a time as fit in memory for all samples."""
    gram = torch.zeros(len(samples), len(samples), dtype=torch.float64, device=engine.device)
    room = int(SHARE * free_memory(engine.device) / (engine.dtype.itemsize * len(samples)))
    for sites in _parts(engine.sites, room):
        whole = _WholeGradients(sites, len(samples), engine)

        def work(groups: Sequence[Sequence[Row]], whole: _WholeGradients = whole) -> None:
            batch = collate(groups, engine.device, engine.dtype)
            whole.begin([row.sample for group in groups for row in group])
            engine.backward(batch, whole, whole.sites)

        engine.over_batches(engine.rows(samples), work)
        for gradient in whole.gradients.values():
            gram += (gradient @ gradient.T).double()
    return gram


def _parts(sites: Sequence[Site], room: int) -> Iterator[list[Site]]:
    """Consecutive sites in parts of at most `room` parameters; a part has at least one site."""
    part: list[Site] = []
    for site in sites:
        if part and sum(one.weight.numel() for one in [*part, site]) > room:
            yield part
            part = []
        part.append(site)
    yield part


class _WholeGradients:
    """A sink that forms every sample's whole gradient of its sites."""

    def __init__(self, sites: list[Site], count: int, engine: GradientEngine) -> None:
        self.sites = sites
        self.samples: list[int] = []
        self.gradients: dict[str, Tensor] = {}
        for site in sites:
            outputs, inputs = site.sizes
            shape = (count, outputs * (inputs + site.has_bias))
            self.gradients[site.name] = torch.zeros(shape, device=engine.device, dtype=engine.dtype)

    def begin(self, samples: list[int]) -> None:
        """Start a batch with all rows of `samples`: their gradients become zero again, in case an earlier try failed."""
        self.samples = samples
        for gradients in self.gradients.values():
            gradients[sorted(set(samples))] = 0

    def on_input(self, site: Site, x: Float[Tensor, "B T I"]) -> Float[Tensor, "B T I"]:
        """Saves the input unchanged."""
        return x

    def on_gradient(self, site: Site, saved: Float[Tensor, "B T I"], delta: Float[Tensor, "B T O"]) -> None:
        """Add every row's gradient to its sample's; a bias is an input that is always 1."""
        gradients = self.gradients[site.name]
        if site.has_bias:
            saved = torch.cat([saved, torch.ones_like(saved[..., :1])], dim=-1)
        for row, sample in enumerate(self.samples):
            gradient = delta[row].to(gradients.dtype).T @ saved[row].to(gradients.dtype)
            gradients[sample] += gradient.flatten()


def compare_grams(projected: np.ndarray, exact: np.ndarray, learnability: np.ndarray) -> Verification:
    """Compare Gram matrices [K, K] of features and of exact gradients; alignment is over these K prompts."""
    from scipy.stats import spearmanr  # slow to import

    cosines, true = _cosines(projected), _cosines(exact)
    error = (cosines - true)[~np.eye(len(true), dtype=bool)]
    alignment, true_alignment = cosines @ learnability, true @ learnability
    score, true_score = learnability * alignment, learnability * true_alignment
    quarter = max(1, len(true) // 4)
    top, true_top = (set(np.argsort(-values, kind="stable")[:quarter]) for values in (score, true_score))
    return Verification(
        prompts=len(true),
        cosine_error=float(np.sqrt(np.mean(error**2))),
        cosine_error_max=float(np.abs(error).max()),
        alignment_spearman=float(spearmanr(alignment, true_alignment).statistic),
        score_spearman=float(spearmanr(score, true_score).statistic),
        top_quarter_overlap=len(top & true_top) / quarter,
    )


def _cosines(gram: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.diag(gram))
    return gram / np.outer(norms, norms)
