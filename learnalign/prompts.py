"""The pool: ids, golds, duplicates, quarantine. Writes prompts.parquet and the pool's part of quarantine.jsonl.

Every input row becomes either a prompt or a line of quarantine.jsonl, so that the counts add up to the input.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnalign.columns import (
    Messages,
)
from learnalign.config import NEXT, Config, DataConfig, Example
from learnalign.errors import InputError, RunError, counted, listed_briefly
from learnalign.few_shot import show, worked_examples
from learnalign.inputs import local_path
from learnalign.policy import (
    TemplateRefusal,
    longest_token,
    model_path,
    prompt_ids,
    prompt_text,
    run_tokenizer,
    settled,
    token_counts,
)
from learnalign.pool_rows import Rows, read_prompts
from learnalign.pool_table import TOKENS, Prompt, Prompts, each, messages_column, packed, prompts_of, schema
from learnalign.rundir import Quarantined, RunDir, check_trust
from learnalign.rundir.files import parquet_groups, write_parquet
from learnalign.rundir.stages import digest_of
from learnalign.scored import check_readable
from learnalign.sources import local_source
from learnalign.verify.code import gold_reason
from learnalign.verify.configured import configured_verifier

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase


def load_prompts(run: RunDir) -> Prompts:
    """The pool of a run, prepared first if need be; raises InputError if the source has changed since.

    Every stage begins here, so this is where code that the run's config names is refused if this user did not name it.
    """
    check_trust(run.path, run.config)
    inputs = _digests(run)
    if run.is_finished("pool") or run.has_results():
        for name, digest in run.read_record()["inputs"].items():
            if name in inputs and inputs[name] != digest:
                raise InputError(_changed(run, f"{name} {_names(run)[name]}"))
    if not run.is_finished("pool"):
        with run.alone():
            if not run.is_finished("pool"):  # another slice may have prepared it meanwhile
                run.record_inputs(inputs)
                _prepare(run)
    return stored_prompts(run)


def stored_prompts(run: RunDir) -> Prompts:
    """The pool that a run has stored, whatever has become of its source; raises RunError if there is none."""
    if not run.prompts_file.is_file():
        raise RunError(f"{run.prompts_file} does not exist; run `learnalign rollout {run.quoted}` first")
    return Prompts(*parquet_groups(run.prompts_file, schema().names))


def read_pool(data: DataConfig) -> tuple[Prompts, list[Quarantined], int]:
    """Read a source: prompts (not yet checked with tokenizer and verifier), rows left out, the number of rows.

    Every prompt shows the worked examples of `data.few_shot`; one that is itself an example is left out. Its id is made
    from the question without them. A row of a subset in the format `messages` is read as it was scored: id, messages and
    gold are its own, and of `data` only `solution` counts. Raises InputError for a source that is missing, empty, or has none
    of the columns that `data` names, and for examples that cannot be read.
    """
    prompts, rows, count = read_prompts(data)
    if examples := worked_examples(data, lambda: _solved(prompts, data)):
        prompts = _with_examples(prompts, rows, examples)
    return prompts, rows.left_out, count


def _with_examples(prompts: Prompts, rows: Rows, examples: Sequence[Example]) -> Prompts:
    """The prompts with the examples before each question; those that are themselves examples are left out."""
    shown, left_out, groups = {example.question.strip() for example in examples}, [], []
    for group in prompts.groups():
        messages = []
        for prompt in prompts_of(group):
            own = prompt.id in rows.scored  # it shows the examples that it was scored with
            messages.append(prompt.messages if own else show(examples, prompt.messages))
            if not own and _question(prompt) in shown:
                left_out.append(prompt.left_out("worked example of data.few_shot"))
        place = group.schema.get_field_index("messages")
        groups.append(packed(group.set_column(place, "messages", messages_column(messages))))
    rows.left_out += left_out
    return Prompts.of(groups).without(entry.id for entry in left_out)


def pool_examples(data: DataConfig) -> list[Example]:
    """The worked examples that every prompt of the pool shows."""
    return worked_examples(data, lambda: _solved(read_prompts(data)[0], data))


def elsewhere(data: DataConfig, path: str | Path) -> DataConfig:
    """`data` for all rows of another file or data set: the pool's columns, system prompt and worked examples.

    Raises InputError for a subset in the format of another trainer.
    """
    check_readable(Path(path))
    return data.model_copy(
        update={"path": str(path), "limit": None, "where": None, "few_shot": pool_examples(data) or None}
    )


def count_tokens(
    data: DataConfig, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]
) -> tuple[dict[str, int], list[Quarantined]]:
    """Tokens of every prompt that can be asked, by id; and those left out: refused by the chat template, or too long.

    Raises InputError if the template refuses every prompt, or worked examples make every one too long.
    """
    lengths: dict[str, int] = {}
    left_out, refusal = [], None
    limit, longest = data.max_prompt_tokens, longest_token(tokenizer)
    every = iter(prompts)
    while some := list(itertools.islice(every, _TOKENISED)):
        texts = [_rendered(tokenizer, prompt) for prompt in some]
        least = [-(-len(text) // longest) if longest and isinstance(text, str) else 0 for text in texts]
        askable = [text for text, bound in zip(texts, least, strict=True) if isinstance(text, str) and bound <= limit]
        counts = iter(token_counts(tokenizer, askable))
        for prompt, text, bound in zip(some, texts, least, strict=True):
            if isinstance(text, TemplateRefusal):
                refusal = refusal or text
                left_out.append(prompt.left_out(f"refused by the chat template: {text.reason}"))
                continue
            length = lengths[prompt.id] = bound if bound > limit else next(counts)
            if length > limit:
                count = f"at least {length}" if length == bound else f"{length}"
                left_out.append(prompt.left_out(f"too long: {count} tokens, data.max_prompt_tokens is {limit}"))
    if refusal is not None and not lengths:
        raise _refused(data, tokenizer, prompts[0].messages, refusal)
    _check_room(data, lengths.values())
    return {id: length for id, length in lengths.items() if length <= limit}, left_out


_TOKENISED = 256  # prompts that are tokenised at once, on all cores


def _rendered(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str | TemplateRefusal:
    try:
        return prompt_text(tokenizer, prompt.messages)
    except TemplateRefusal as error:
        return error


def stored_tokens(run: RunDir) -> dict[str, int] | None:
    """Tokens of the stored prompts by id; None if an earlier version, which did not keep them, has made the pool."""
    import pyarrow.parquet as pq

    prompts = stored_prompts(run)
    if TOKENS not in pq.read_schema(run.prompts_file).names:
        return None
    return dict(zip(prompts.ids, each(prompts, TOKENS), strict=True))


def _refused(
    data: DataConfig, tokenizer: PreTrainedTokenizerBase, messages: Messages, refusal: TemplateRefusal
) -> InputError:
    """The error for a template that refuses every prompt, with the setting that is the cause, if one is."""

    def renders(fewer: Messages) -> bool:
        try:
            prompt_ids(tokenizer, fewer)
        except TemplateRefusal:
            return False
        return True

    what, ways = (
        "every prompt",
        "correct the prompts (data.prompt, data.prompt_template, data.system_prompt, data.few_shot)",
    )
    if data.few_shot and renders([m for m in messages[:-1] if m["role"] == "system"] + messages[-1:]):
        what, ways = "the worked examples of data.few_shot", "set data.few_shot: null"
    elif data.system_prompt and messages[0]["content"] == data.system_prompt and renders(messages[1:]):
        what = "the system message of data.system_prompt"
        ways = "set data.system_prompt: null, put its text into the question with data.prompt_template"
    return InputError(
        f"{refusal.where}: its chat template refuses {what} ({refusal.reason}); {ways}, or use another model or "
        "chat_template.jinja"
    )


def _check_room(data: DataConfig, lengths: Collection[int]) -> None:
    """Raise InputError if worked examples make every prompt longer than `data.max_prompt_tokens`."""
    if data.few_shot and lengths and min(lengths) > data.max_prompt_tokens:
        raise InputError(
            f"data.few_shot: with the worked examples, the shortest prompt has at least {counted(min(lengths), 'token')}, but "
            f"data.max_prompt_tokens is {data.max_prompt_tokens}; raise it, or give fewer or shorter examples"
        )


def _solved(prompts: Prompts, data: DataConfig) -> list[Example]:
    """The pool's questions with their worked solutions (gold answers if `data.solution` is null), in its order."""
    pairs = ((_question(p), p.solution if data.solution else p.answer) for p in prompts)
    return [Example(question=question, answer=answer) for question, answer in pairs if question and answer]


def _question(prompt: Prompt) -> str | None:
    """The text of a prompt without turns of its own before the question."""
    own = [message["content"] for message in prompt.messages if message["role"] != "system"]
    return own[0].strip() if len(own) == 1 else None


def reason_counts(left_out: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Lines of quarantine.jsonl by kind of reason (its words before the particulars)."""
    kinds = Counter(re.sub(r"( of row \d+| is that of row|: | \().*", "", line["reason"]) for line in left_out)
    return dict(kinds.most_common())


def check_some(data: DataConfig, prompts: Collection[Any], left_out: Sequence[Quarantined]) -> None:
    """Raise InputError, with the reasons, if no prompt remains."""
    if not prompts:
        kinds = reason_counts([{"reason": entry.reason} for entry in left_out])
        listed = listed_briefly(f"{n} {kind}" for kind, n in kinds.items())
        first = left_out[0]
        raise InputError(
            f"data.path {data.path}: none of {counted(len(left_out), 'row')} can be used ({listed}); row {first.row}: {first.reason}"
        )


def _changed(run: RunDir, what: str) -> str:
    """What to say of an input that is not what the run was made with, and every way out."""
    path = run.path.parent if run.path.name == NEXT else run.path
    part = path.parent.name in ("train", "eval") and (path.parents[1] / "config.yaml").is_file()
    anew = (
        "pass --overwrite to make it again, or give another --name"
        if part
        else f"make everything again with `learnalign run {shlex.quote(str(path))} --overwrite`, or choose a new run directory"
    )
    return f"{what} has changed since {path} was made. Ways out: put it back; {anew}"


def _prepare(run: RunDir) -> None:
    with run.stage("pool") as record:
        prompts, left_out, count = read_pool(run.config.data)
        settled(run)
        tokens, unaskable = count_tokens(run.config.data, run_tokenizer(run), prompts)
        prompts = prompts.without(entry.id for entry in unaskable)
        unusable = unusable_golds(run.config, prompts)
        prompts = prompts.without(entry.id for entry in unusable)
        left_out += unaskable + unusable
        left_out.sort(key=lambda entry: entry.row or 0)
        check_some(run.config.data, prompts, left_out)
        run.quarantine("pool", left_out)
        groups = (_with_tokens(group.select(schema().names), tokens) for group in prompts.groups())
        write_parquet(run.prompts_file, groups, run.fingerprint("pool"))
        record.counts |= {"rows": count, "prompts": len(prompts), "left_out": len(left_out)}


def _with_tokens(group: pa.Table, tokens: dict[str, int]) -> pa.Table:
    import pyarrow as pa

    return group.append_column(TOKENS, pa.array([tokens[id] for id in group["id"].to_pylist()], pa.int32()))


def unusable_golds(config: Config, prompts: Prompts) -> list[Quarantined]:
    """The prompts whose gold answer the verifier cannot use, with its reasons."""
    import pyarrow as pa
    import pyarrow.compute as pc

    golds = prompts.column("answer")
    answers = sorted(golds.unique().to_pylist())
    if config.verifier == "code":  # reading tests needs no sandbox
        reasons = {answer: gold_reason(answer) for answer in answers}
    else:
        with configured_verifier(config) as verifier:
            reasons = dict(zip(answers, verifier.check_golds(answers), strict=True))
    unusable = pc.is_in(golds, pa.array([gold for gold, reason in reasons.items() if reason], golds.type))
    places = np.flatnonzero(unusable).tolist()
    return [prompt.left_out(f"unusable answer: {reasons[prompt.answer]}") for prompt in prompts.take(places)]


def _names(run: RunDir) -> dict[str, str]:
    config = run.config
    names = {"data": config.data.path, "model": config.model.name, "adapter": config.model.adapter}
    return {name: str(value) for name, value in {**names, "few_shot": config.data.few_shot}.items()}


def _digests(run: RunDir) -> dict[str, str]:
    """Digests of the run's local input files; hub names have none."""
    data, model = run.config.data, run.config.model
    named = {"model": (model_path(run.config), "config.json"), "adapter": (model.adapter, "adapter_config.json")}
    paths = {name: local_path(path, f"model.{name}") for name, (path, _) in named.items() if path}
    paths = {name: path for name, path in paths.items() if (path / named[name][1]).is_file()}
    if isinstance(data.few_shot, str) and (examples := local_path(data.few_shot, "data.few_shot")).is_file():
        paths["few_shot"] = examples
    if source := local_source(data):
        paths["data"] = source
    return {name: digest_of(path) for name, path in paths.items()}
