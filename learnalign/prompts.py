"""The pool: ids, golds, duplicates, quarantine. Writes prompts.parquet and the pool's part of quarantine.jsonl.

Every input row becomes either a prompt or a line of quarantine.jsonl, so that the counts add up to the input.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnalign.config import Config, DataConfig, Example
from learnalign.errors import InputError, RunError, counted, listed_briefly
from learnalign.few_shot import show, worked_examples
from learnalign.inputs import local_path
from learnalign.policy import model_path, run_tokenizer, settled
from learnalign.pool_rows import Rows, read_prompts
from learnalign.pool_table import PROMPT_IDS, TOKENS, Prompt, Prompts, each, messages_column, packed, prompts_of, schema
from learnalign.rundir import Quarantined, RunDir, check_trust
from learnalign.rundir.files import parquet_groups, write_parquet
from learnalign.rundir.stages import digest_of
from learnalign.scored import check_readable
from learnalign.sources import local_source
from learnalign.tokenised import Tokenising
from learnalign.verify.code import gold_reason
from learnalign.verify.configured import configured_verifier

if TYPE_CHECKING:
    import pyarrow as pa


def load_prompts(run: RunDir) -> Prompts:
    """The pool of a run, prepared first if need be; raises InputError if the source has changed since.

    Every stage begins here, so this is where code that the run's config names is refused if this user did not name it.
    """
    check_trust(run.path, run.config)
    inputs = _digests(run)
    if run.is_finished("pool") or run.has_results():
        _refuse_changed(run, inputs)
    if not run.is_finished("pool"):
        with run.alone():
            if not run.is_finished("pool"):  # another slice may have prepared it meanwhile
                run.record_inputs(inputs)
                _prepare(run)
    return stored_prompts(run)


def prepared_prompts(run: RunDir) -> Prompts | None:
    """The pool of a run if it is prepared; raises InputError if the source has changed since. Runs no code and writes nothing."""
    if not run.is_finished("pool"):
        return None
    _refuse_changed(run, _digests(run))
    return stored_prompts(run)


def _refuse_changed(run: RunDir, inputs: Mapping[str, str]) -> None:
    for name, digest in run.read_record()["inputs"].items():
        if name in inputs and inputs[name] != digest:
            raise InputError(_changed(run, f"{name} {_names(run)[name]}"))


def stored_prompts(run: RunDir) -> Prompts:
    """The pool that a run has stored, whatever has become of its source; raises RunError if there is none."""
    if not run.prompts_file.is_file():
        raise RunError(f"{run.prompts_file} does not exist; run `learnalign rollout {run.quoted}` first")
    import pyarrow.parquet as pq

    sizes, read = parquet_groups(run.prompts_file, schema().names)
    more = set(pq.read_schema(run.prompts_file).names) - set(schema().names)
    return Prompts(sizes, lambda group, names: read(group, names or schema().names), more)


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
        groups.append(packed(group.set_column(place, "messages", messages_column(messages, []))))
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


def stored_tokens(prompts: Prompts) -> dict[str, int] | None:
    """Tokens of a run's prompts by id; None if an earlier version, which did not keep them, has made the pool."""
    return dict(zip(prompts.ids, each(prompts, TOKENS), strict=True)) if TOKENS in prompts.more else None


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


def check_some(data: DataConfig, prompts: Collection[Any] | bool, left_out: Sequence[Quarantined]) -> None:
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
    path = run.directory
    part = path.parent.name in ("train", "eval") and (path.parents[1] / "config.yaml").is_file()
    anew = (
        "pass --overwrite to make it again, or give another --name"
        if part
        else f"make everything again with `learnalign run {shlex.quote(str(path))} --overwrite`, or choose a new run directory"
    )
    return f"{what} has changed since {path} was made. Ways out: put it back; {anew}"


def _prepare(run: RunDir) -> None:
    config = run.config
    with run.stage("pool") as record:
        prompts, left_out, count = read_pool(config.data)
        settled(run)
        groups = _usable(
            prompts, Tokenising(config.data, run_tokenizer(run)), gold_reasons(config, prompts), left_out, config
        )
        write_parquet(run.prompts_file, groups, run.fingerprint("pool"))
        run.quarantine("pool", sorted(left_out, key=lambda entry: entry.row or 0))
        record.counts |= {"rows": count, "prompts": count - len(left_out), "left_out": len(left_out)}


def _usable(
    prompts: Prompts, tokenising: Tokenising, golds: Mapping[str, str], left_out: list[Quarantined], config: Config
) -> Iterator[pa.Table]:
    """The prompts that can be asked and scored, with their tokens, in groups of rows; the others join `left_out`.

    `golds` has the reasons of unusable answers. Raises InputError if no prompt is left.
    """
    import pyarrow as pa

    some = False
    for group in prompts.groups():
        asked = prompts_of(group)
        token_ids = tokenising(asked)
        left_out += [
            prompt.left_out(f"unusable answer: {golds[prompt.answer]}")
            for prompt, ids in zip(asked, token_ids, strict=True)
            if ids is not None and prompt.answer in golds
        ]
        kept = [ids is not None and prompt.answer not in golds for prompt, ids in zip(asked, token_ids, strict=True)]
        ids = [each or [] for each, keep in zip(token_ids, kept, strict=True) if keep]
        if ids:
            some = True
            table = group.select(schema().names).filter(pa.array(kept))
            lengths = pa.array(map(len, ids), pa.int32())
            yield table.append_column(TOKENS, lengths).append_column(PROMPT_IDS, pa.array(ids, pa.list_(pa.int32())))
    tokenising.check()
    left_out += tokenising.left_out
    check_some(config.data, some, sorted(left_out, key=lambda entry: entry.row or 0))


def gold_reasons(config: Config, prompts: Prompts) -> dict[str, str]:
    """The gold answers that the verifier cannot use, each with its reason."""
    answers = sorted(prompts.column("answer").unique().to_pylist())
    if config.verifier == "code":  # reading tests needs no sandbox
        reasons = [gold_reason(answer) for answer in answers]
    else:
        with configured_verifier(config) as verifier:
            reasons = verifier.check_golds(answers)
    return {answer: reason for answer, reason in zip(answers, reasons, strict=True) if reason}


def unusable_golds(config: Config, prompts: Prompts) -> list[Quarantined]:
    """The prompts whose gold answer the verifier cannot use, with its reasons."""
    import pyarrow as pa
    import pyarrow.compute as pc

    reasons = gold_reasons(config, prompts)
    unusable = pc.is_in(prompts.column("answer"), pa.array(list(reasons), pa.string()))
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
