"""`learnalign grad DIR --verify K`: stored features of K prompts against the exact gradients of all parameters."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from learnalign.errors import InputError
from learnalign.gradients.capture.choice import find_sites
from learnalign.gradients.exact.whole import exact_grams
from learnalign.gradients.grpo import Sample
from learnalign.gradients.inputs import make_engine
from learnalign.gradients.reference import refer, sample_reader
from learnalign.gradients.result import Agreement, Verification
from learnalign.rollouts.success import Success
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_metadata, read_safetensors

FEWEST = 4  # prompts that a rank correlation says anything about


def verify_features(run: RunDir, success: Mapping[str, Success], count: int) -> Verification:
    """Compare `count` prompts that have a stored feature, chosen by the run's seed; raises InputError for fewer than 4.

    The exact gradients are those of all parameters, whatever `grad.modules` is; if the model has parameters without per-prompt
    gradients, those of `grad.modules`.
    """
    samples, features = _chosen(run, success, count)
    if len(samples) < FEWEST:
        raise InputError(
            f"--verify {count}: needs at least {FEWEST} prompts with a gradient, the run has {len(samples)}"
        )
    missing = ""
    try:
        engine = make_engine(run, "all")
    except InputError as error:
        missing, engine = str(error), make_engine(run)
    own = find_sites(engine.model, run.config.grad.modules).shapes()
    grams = {name: gram.cpu().numpy() for name, gram in exact_grams(engine, samples).items()}
    everything, chosen = np.sum(list(grams.values()), axis=0), np.sum([grams[name] for name in own], axis=0)
    learnability = np.array([success[sample.id].learnability for sample in samples])
    projected = (features @ features.T).numpy()
    return Verification(
        prompts=len(samples),
        modules=run.config.grad.modules,
        features=compare_grams(projected, everything, learnability),
        without_projection=compare_grams(chosen, everything, learnability),
        projection_alone=compare_grams(projected, chosen, learnability),
        not_compared=missing,
    )


def _chosen(run: RunDir, success: Mapping[str, Success], count: int) -> tuple[list[Sample], Float[Tensor, "K dim"]]:
    stored = {shard: json.loads(read_metadata(run.gradients_file(shard))["ids"]) for shard in run.shards()}
    every = sorted(id for ids in stored.values() for id in ids)
    chosen = set(random.Random(run.config.seed).sample(every, min(count, len(every))))
    wanted = {shard: ids for shard, ids in stored.items() if not chosen.isdisjoint(ids)}
    refer(run, list(wanted))
    read = sample_reader(run, success)
    samples, features = [], [torch.zeros(0, run.config.grad.dim, dtype=torch.float64)]
    for shard, ids in wanted.items():
        compared = [sample for sample in read(shard).samples if sample.id in chosen]
        tensors, _ = read_safetensors(run.gradients_file(shard))
        features.append(tensors["features"][[ids.index(sample.id) for sample in compared]].double())
        samples += compared
    return samples, torch.cat(features)


def compare_grams(tried: np.ndarray, exact: np.ndarray, learnability: np.ndarray) -> Agreement:
    """Compare Gram matrices [K, K] of tried and of exact gradients; alignment is over these K prompts."""
    from scipy.stats import spearmanr  # slow to import

    cosines, true = _cosines(tried), _cosines(exact)
    error = (cosines - true)[~np.eye(len(true), dtype=bool)]
    alignment, true_alignment = cosines @ learnability, true @ learnability
    score, true_score = learnability * alignment, learnability * true_alignment
    quarter = max(1, len(true) // 4)
    top, true_top = (set(np.argsort(-values, kind="stable")[:quarter]) for values in (score, true_score))
    return Agreement(
        cosine_error=float(np.sqrt(np.mean(error**2))),
        cosine_error_max=float(np.abs(error).max()),
        alignment_spearman=float(spearmanr(alignment, true_alignment).statistic),
        score_spearman=float(spearmanr(score, true_score).statistic),
        top_quarter_overlap=len(top & true_top) / quarter,
    )


def _cosines(gram: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.diag(gram))
    return gram / np.outer(norms, norms)
