"""The contract of a trainer's format: from the chosen prompts, as they were scored, to the rows that its loader reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnalign.prompts import Prompt
from learnalign.rundir.files import as_json
from learnalign.scored import beside

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The chosen prompts, best first; the verifier that p was measured with; `data_source`, if the user gave one.

    `opened` is the tag of a reasoning that the rendered prompts begin; `sandbox` and `limits` are where and how the verifier
    code runs programs; `where` names the subset in messages for the user.
    """

    prompts: Sequence[Prompt]
    verifier: str
    reasoning_tags: Sequence[str] = ()
    opened: str = ""
    sandbox: str | None = None
    limits: Mapping[str, float] | None = None
    data_source: str | None = None
    where: str = "the subset"

    def columns(self) -> list[Row]:
        """The user's own columns of every prompt."""
        return [json.loads(prompt.source) for prompt in self.prompts]

    def judged_by(self) -> dict[str, Any]:
        """What `learnalign.handoff`'s reward functions open the verifier with."""
        more: dict[str, Any] = {"reasoning_tags": list(self.reasoning_tags), "opened": self.opened}
        if self.verifier == "code":
            more |= {"sandbox": self.sandbox, "limits": self.limits}
        return {"verifier": self.verifier, **{key: value for key, value in more.items() if value}}

    def identity(self, prompt: Prompt) -> Row:
        """id, row of the input, and verifier: for `extra_info`, `metadata` and the like."""
        return {"id": prompt.id, "index": prompt.row, **self.judged_by()}

    def extra(self) -> list[Row]:
        """`identity` with the user's own columns beside it."""
        return beside([self.identity(prompt) for prompt in self.prompts], self.columns())

    def sources(self, default: str) -> list[str]:
        """The data source of every prompt: `data_source`, else the row's own column of that name, else `default`."""
        own = [columns.get("data_source") for columns in self.columns()]
        return [self.data_source or (name if isinstance(name, str) and name else default) for name in own]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A trainer's format.

    Args:
        rows: the rows that the trainer loads, one for each prompt; a text is a line that is written verbatim.
        suffixes: what files it can be, the trainer's usual one first.
        beside: further files from the chosen prompts and the file's name: texts by what is added to its stem.
        uniform: `datasets` loads it, which wants a column of one kind: of mixed ones, values become JSON texts.
        template: how the trainer is told settings of the chat template (`data.chat_template_kwargs`); None if it takes none.
        templated: whether a trainer renders the rows at all.
    """

    rows: Callable[[Chosen], Sequence[Row | str]]
    suffixes: tuple[str, ...] = (".jsonl",)
    beside: Callable[[Chosen, str], dict[str, str]] = lambda chosen, file: {}
    uniform: bool = False
    template: Callable[[Mapping[str, Any]], str] | None = None
    templated: bool = True

    def template_line(self, settings: Mapping[str, Any]) -> str:
        """What to tell the trainer so that it renders prompts as they were scored; empty if there is nothing to tell."""
        if not settings or not self.templated:
            return ""
        if self.template is not None:
            return f"prompts were scored with data.chat_template_kwargs: give the trainer {self.template(settings)}"
        lines = "".join(f"{{%- set {name} = {as_json(value)} -%}}" for name, value in settings.items())
        return (
            "prompts were scored with data.chat_template_kwargs, for which this trainer has no setting: begin the chat_template.jinja of "
            f"the model that you train with {lines}"
        )


def dotted(prefix: str) -> Callable[[Mapping[str, Any]], str]:
    """Settings as Hydra's overrides below `prefix`."""
    return lambda settings: " ".join(f"'{prefix}.{name}={as_json(value)}'" for name, value in settings.items())
