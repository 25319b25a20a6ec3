"""What can be told before anything heavy starts: faults of settings, model and verifier that would end a stage hours later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learnalign.config import Config, GrpoConfig
from learnalign.config.trainer_fields import check_known
from learnalign.errors import InputError
from learnalign.golds import refuse_solutions
from learnalign.gradients import check_cascade, check_modules, keep_of
from learnalign.policy import check_models, model_path, run_tokenizer
from learnalign.prompts import Prompt, stored_prompts, stored_tokens
from learnalign.rollouts.engines.choice import engine_name
from learnalign.rundir import RunDir
from learnalign.tokenised import count_tokens
from learnalign.training.context import check_context
from learnalign.training.reporting import reporters
from learnalign.training.steps import planned_steps, update_size
from learnalign.training.warmup_stage import draw_subset, refuse_adapter
from learnalign.verify.configured import configured_verifier


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is looked at; `lengths` are the prompts' tokens by id."""

    config: Config
    prompts: Sequence[Prompt]
    lengths: Mapping[str, int] | None
    run: RunDir | None
    anyway: bool
    trl: bool


def check(
    config: Config,
    stages: Sequence[str],
    prompts: Sequence[Prompt],
    *,
    lengths: Mapping[str, int] | None = None,
    run: RunDir | None = None,
    anyway: bool = True,
    trl: bool = False,
) -> None:
    """Raise one InputError with all faults of `stages` (warmup, rollout, grad, select, train) that show without weights.

    Args:
        prompts: of the pool; of a training, its subset.
        lengths: the prompts' tokens by id: do they and their completions fit into the model's context?
        run: the run directory, to see whether the signal is there that the method of `select` reads, and without `lengths` to
            count those of a training's prompts.
        anyway: whether golds that are whole solutions are taken; so they are, too, if `run` has all its rollouts.
        trl: whether TRL is asked about the settings of trainings, too, if lengths are known; it takes seconds, may keep memory of
            a GPU, and is the first thing that a training does itself.
    """
    check_models(config)
    subject = Subject(config=config, prompts=prompts, lengths=lengths, run=run, anyway=anyway, trl=trl)
    faults = []
    for one in dict.fromkeys(one for stage in stages for one in _CHECKS[stage]):
        try:
            one(subject)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("; ".join(faults))


def _golds(subject: Subject) -> None:
    if not (subject.anyway or (subject.run is not None and subject.run.is_finished("rollout"))):
        refuse_solutions(subject.config, subject.prompts)


def _warmup(subject: Subject) -> None:
    config = subject.config
    if config.warmup.size:
        refuse_adapter(config)
        _training(subject, config.warmup, "warmup", draw_subset(subject.prompts, config))


def _train(subject: Subject) -> None:
    train = subject.config.train
    _training(subject, train.over(subject.config.warmup), "train", subject.prompts, train.algorithm)


def _training(
    subject: Subject, settings: GrpoConfig, section: str, prompts: Sequence[Prompt], algorithm: str = "grpo"
) -> None:
    planned_steps(settings, section, len(prompts))
    update_size(settings, section)
    reporters(settings, section)
    check_known(settings.trainer, section, algorithm)
    lengths = subject.lengths
    if lengths is None and subject.run is not None:
        lengths = stored_tokens(stored_prompts(subject.run)) if subject.run.prompts_file.is_file() else None
        lengths = lengths or count_tokens(subject.config.data, run_tokenizer(subject.run), prompts)[0]
    if lengths is None:
        return
    longest = max(lengths[prompt.id] for prompt in prompts)
    check_context(subject.config, model_path(subject.config), section, settings, longest)
    if subject.trl:
        from learnalign.training.settings import trainer_arguments

        trainer_arguments(subject.config, settings, section, Path(section), longest, len(prompts), algorithm)


def _engine(subject: Subject) -> None:
    if subject.config.rollout.engine != "auto":  # auto takes what there is
        engine_name(subject.config)


def _verifier(subject: Subject) -> None:
    configured_verifier(subject.config, workers=1).close()


def _modules(subject: Subject) -> None:
    check_modules(subject.config)


def _cascade(subject: Subject) -> None:
    if (cascade := subject.config.grad.cascade) is not None:
        keep_of(cascade, len(subject.prompts))
        if subject.run is not None:
            check_cascade(subject.run)


def _format(subject: Subject) -> None:
    from learnalign.handoff import Chosen, find_format

    some = Chosen(prompts=subject.prompts[:1], verifier=subject.config.verifier, where="select.format")
    find_format(subject.config.select.format).rows(some)  # refuses prompts that the trainer would cut


def _selection(subject: Subject) -> None:
    from learnalign.selection.methods import find_method
    from learnalign.selection.ranking import size_of

    config, run = subject.config, subject.run
    size_of(config.select.size, len(subject.prompts))
    method = find_method(config.select.method)
    if config.grad.projection == "exact" and method.reads == "grad" and method.name != "learnalign":
        raise InputError(
            f"select.method: {method.name} needs features, and grad.projection: exact stores none; choose method learnalign, or "
            "grad.projection kronecker"
        )
    if run is not None and method.signal is not None and not run.signal_file(method.signal).is_file():
        raise InputError(
            f"select.method: {method.name} reads the signal {method.signal}, which `run` does not compute; after warmup and rollout, "
            f"say `learnalign signal {run.quoted} {method.signal}`, then this command again; or choose another method"
        )


_CHECKS: dict[str, Sequence[Callable[[Subject], None]]] = {
    "warmup": (_verifier, _golds, _warmup),
    "rollout": (_verifier, _golds, _engine),
    "grad": (_modules, _cascade),
    "select": (_selection, _format),
    "train": (_verifier, _train),
}
