"""What can be told before anything heavy starts: faults of settings, model and verifier that would end a stage hours later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from learnalign.config import Config, GrpoConfig
from learnalign.errors import InputError
from learnalign.gradients import check_modules
from learnalign.policy import check_models
from learnalign.prompts import Prompt
from learnalign.rollouts.engines.choice import engine_name
from learnalign.training.steps import planned_steps, update_size
from learnalign.training.warmup_stage import draw_subset, refuse_adapter
from learnalign.verify import open_verifier

Lengths = Mapping[str, int]  # tokens of the prompts by id


def check(config: Config, stages: Sequence[str], prompts: Sequence[Prompt], lengths: Lengths | None = None) -> None:
    """Raise one InputError with all faults of `stages` (warmup, rollout, grad, select, train) that show without weights.

    `prompts` are those of the pool, of a training its subset. With their `lengths`, TRL is asked about the settings of trainings, which
    takes seconds and is the first thing that a training does itself.
    """
    check_models(config)
    faults = []
    for one in dict.fromkeys(one for stage in stages for one in _CHECKS[stage]):
        try:
            one(config, prompts, lengths)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))


def _warmup(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    if config.warmup.size:
        refuse_adapter(config)
        _training(config, config.warmup, "warmup", draw_subset(prompts, config), lengths)


def _train(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    settings = config.train.over(config.warmup)
    _training(config, settings, "train", prompts, lengths, config.train.algorithm)


def _training(
    config: Config,
    settings: GrpoConfig,
    section: str,
    prompts: Sequence[Prompt],
    lengths: Lengths | None,
    algorithm: str = "grpo",
) -> None:
    planned_steps(settings, section, len(prompts))
    update_size(settings, section)
    if lengths is not None:
        from learnalign.training.settings import check_training

        check_training(config, settings, section, max(lengths[p.id] for p in prompts), len(prompts), algorithm)


def _engine(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    if config.rollout.engine != "auto":  # auto takes what there is
        engine_name(config)


def _verifier(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    open_verifier(config.verifier, workers=1, reasoning_tags=config.data.reasoning_tags).close()


def _modules(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    check_modules(config)


def _selection(config: Config, prompts: Sequence[Prompt], lengths: Lengths | None) -> None:
    from learnalign.selection.methods import find_method
    from learnalign.selection.ranking import size_of

    size_of(config.select.size, len(prompts))
    method = find_method(config.select.method)
    if config.grad.projection == "exact" and method.reads == "grad" and method.name != "learnalign":
        raise InputError(
            f"select.method: {method.name} needs features, and grad.projection: exact stores none; choose method learnalign, or "
            "grad.projection kronecker"
        )


_CHECKS: dict[str, Sequence[Callable[[Config, Sequence[Prompt], Lengths | None], None]]] = {
    "warmup": (_verifier, _warmup),
    "rollout": (_verifier, _engine),
    "grad": (_modules,),
    "select": (_selection,),
    "train": (_verifier, _train),
}
