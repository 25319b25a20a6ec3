"""OpenRLHF (read and tried: 0.11.2): `input` (messages), `label` (the gold), your own columns.

    --data.prompt_dataset FILE --data.input_key input --data.label_key label --data.apply_chat_template \\
        --reward.remote_url FILE_reward.py

FILE_reward.py beside the file holds `reward_func`, which OpenRLHF loads by its path and calls with texts alone: it judges as p was
measured, but a verifier of your own sees no columns of the pool there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from learnalign.handoff.format import Chosen, Format, Row
from learnalign.handoff.judging import verdicts
from learnalign.scored import beside

REWARD = '''"""Rewards of the subset {file} for OpenRLHF: made by learnalign, may be edited."""

from learnalign.handoff.openrlhf import rewards

JUDGED_BY = {judged_by}


def reward_func(queries, prompts, labels, **_):
    return rewards(queries, prompts, labels, JUDGED_BY)
'''
_ENDS = re.compile(
    r"(\s*(<\|[^<>|]*\|>|<｜[^<>｜]*｜>|</s>|<eos>|<end_of_turn>|<turn\|>))+$"
)  # tokens that close a turn
_TAIL = 64  # characters by which the end of a prompt is known


def rows(chosen: Chosen) -> Sequence[Row]:
    ours = [
        {"input": prompt.messages, "label": prompt.answer, "datasource": source, **chosen.identity(prompt)}
        for prompt, source in zip(chosen.prompts, chosen.sources("learnalign"), strict=True)
    ]
    return beside(ours, chosen.columns())


def reward_file(chosen: Chosen, file: str) -> dict[str, str]:
    """The module with the reward function for `file`."""
    return {"_reward.py": REWARD.format(file=file, judged_by=repr(chosen.judged_by()))}


FORMAT = Format(rows=rows, suffixes=(".jsonl", ".parquet"), uniform=True, beside=reward_file)


def rewards(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], judged_by: Mapping[str, Any]
) -> dict[str, Any]:
    """`rewards`, `scores` (tensors) and `extra_logs`: judges by the verifier that p was measured with.

    A query is a prompt and its completion, special tokens included. A completion that cannot be scored counts as wrong.
    """
    import torch

    completions = [completion_of(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    judged = verdicts(completions, labels, [judged_by] * len(completions))
    values = torch.tensor([verdict.reward or 0.0 for verdict in judged])
    return {"rewards": values, "scores": values, "extra_logs": {"correct": values.mean()}}


def completion_of(query: str, prompt: str) -> str:
    """What follows the prompt, without the tokens that end it.

    A prompt whose decoded tokens are another text, or that was cut at its beginning, is known by its end.
    """
    if query.startswith(prompt):
        text = query[len(prompt) :]
    else:
        before, found, after = query.partition(prompt[-_TAIL:])
        text = after if found else before
    return _ENDS.sub("", text)
