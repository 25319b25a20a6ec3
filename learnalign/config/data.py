"""Settings of the pool: where it comes from, its columns, and what stands around a question."""

from __future__ import annotations

import re

import regex
from pydantic import Field, JsonValue, ValidationInfo, field_validator

from learnalign.config.section import PositiveInt, Section
from learnalign.names import tag_pair


class Example(Section):
    """A worked example: a question and the answer that a prompt shows to it."""

    question: str = Field(min_length=1, description="what the user asks")
    answer: str = Field(min_length=1, description="what the assistant answers, in the form that the verifier reads")


# What the caller of a chat template decides, and no setting of its own.
RENDERING = (
    *("conversation", "conversations", "messages", "tools", "documents", "chat_template", "strftime_now"),
    *("add_generation_prompt", "continue_final_message", "tokenize", "tokenizer_kwargs", "padding", "truncation"),
    *("max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
)


# A place of `data.prompt_template`.
PLACE = re.compile(r"\{([A-Za-z_][\w.]*)\}")

LONGEST_REGEX = 10_000  # characters; one of many takes long to compile


class DataConfig(Section):
    """Where the pool comes from and which columns hold what; dots reach into nested columns."""

    path: str = Field(
        description="JSON, JSONL or CSV file (also .gz or .zst; CSV with commas, or a header with semicolons or tabs), Parquet "
        "file, a directory of Parquet or JSONL files or of `datasets`, a hub name, or `demo`, `demo-code` or `demo-arithmetic`"
    )
    name: str | None = Field(None, description="configuration of a hub data set")
    split: str = Field("train", description="split of a hub data set or `datasets` directory")
    prompt: str = Field("prompt", description="column with the question: a string or a list of messages")
    prompt_template: str | None = Field(
        None, description="the question as a text with {column} in it, instead of `prompt`"
    )
    prompt_regex: str | None = Field(
        None, description="cuts the question out of the last message, as answer_regex does the gold"
    )
    answer: str | list[str] = Field(
        "answer",
        description="column with the gold answer; several: the gold is a JSON object of those that the row has, as verifier "
        "`code` takes tests",
    )
    solution: str | None = Field(None, description="column with a worked gold solution, for perplexity, IFD and length")
    id: str | None = Field(None, description="column with the id; if null, ids are made from the content")
    answer_regex: str | None = Field(None, description="cuts the gold out of the answer column: group 1, or the match")
    system_prompt: str | None = Field(None, description="first message of every prompt that has no system message")
    chat_template_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="settings of the model's chat template, in every stage, such as {enable_thinking: false} of Qwen3's",
    )
    few_shot: PositiveInt | str | list[Example] | None = Field(
        None,
        description="worked examples before every question: a JSON or JSONL file, the pool's first K solved rows (which "
        "are not asked), or a list of {question, answer}",
    )
    where: dict[str, JsonValue] | None = Field(
        None,
        description="rows that are taken, by column: a value, a list of values, or {from: X, to: Y} for from ≤ value < to; "
        "the others are left out",
    )
    limit: PositiveInt | None = Field(None, description="rows read from the source")
    max_prompt_tokens: PositiveInt = Field(
        512, description="longer prompts are left out (tokens, chat template and worked examples included)"
    )
    reasoning_tags: list[str] = Field(
        default_factory=list,
        description="tags, besides <think> and the like, around reasoning that is no answer: a name (scratch: "
        "<scratch>…</scratch>) or a pair with a space between",
    )

    @property
    def answers(self) -> list[str]:
        """The columns of the gold answer."""
        return [self.answer] if isinstance(self.answer, str) else self.answer

    @field_validator("answer")
    @classmethod
    def _have_names(cls, answer: str | list[str]) -> str | list[str]:
        names = [column.rpartition(".")[2] for column in answer] if isinstance(answer, list) else [answer]
        if not names or not all(names):
            raise ValueError("it names no column")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns would be {twice!r} in the gold's object; name one of them")
        return answer

    @field_validator("answer_regex")
    @classmethod
    def _cuts_text(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if pattern and isinstance(info.data.get("answer"), list):
            raise ValueError(
                "it cuts text, but data.answer names several columns, whose gold is a JSON object; name one column"
            )
        return pattern

    @field_validator("where")
    @classmethod
    def _selects(cls, where: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        for column, wanted in (where or {}).items():
            inner = (
                list(wanted.values()) if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else [wanted]
            )
            if not inner or any(value is None or isinstance(value, list | dict) for value in inner):
                raise ValueError(f"{column}: give a value, a list of values, or {{from: X, to: Y}}")
            if isinstance(wanted, dict) and not wanted.keys() <= {"from", "to"}:
                raise ValueError(f"{column}: a range has from and to, not {', '.join(wanted.keys() - {'from', 'to'})}")
        return where

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_the_templates(cls, settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for key, value in settings.items():
            if key in RENDERING:
                raise ValueError(f"{key} cannot be set; give variables that the chat template reads")
            if value is None:
                raise ValueError(f"{key} is null; leave it out, or give a value")
        return settings

    @field_validator("prompt_regex", "answer_regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern and len(pattern) > LONGEST_REGEX:
            raise ValueError(f"a regular expression may have at most {LONGEST_REGEX:,} characters")
        try:
            regex.compile(pattern or "")
        except (regex.error, OverflowError, RecursionError, MemoryError, ValueError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @field_validator("prompt_template")
    @classmethod
    def _has_a_place(cls, template: str | None) -> str | None:
        if template is not None and not PLACE.search(template):
            raise ValueError("it has no place for a column, such as {question}: every prompt would be the same")
        return template

    @field_validator("reasoning_tags")
    @classmethod
    def _are_tags(cls, tags: list[str]) -> list[str]:
        for tag in tags:
            tag_pair(tag)
        return tags
