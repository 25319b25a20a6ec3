"""A table of a paper as a file: which arms are trained on what, how often, on what they are tested, and the paper's numbers.

Torch-free. `configs/papers/tables/` has a file for each table and figure; users write theirs in the same form.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from learnalign.config.section import Fraction, NonNegativeFloat, OneOf, PositiveInt, Section, Seed
from learnalign.names import MEASURES, METHODS, unknown

Size = PositiveInt | Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["all"]
FileName = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]  # directories are called after it
Number = NonNegativeFloat | list[NonNegativeFloat] | None  # a value, or value and standard deviation


def listed(seeds: Any) -> Any:
    """A number of seeds as those from 0 on."""
    return list(range(seeds)) if type(seeds) is int and 0 < seeds < 10_000 else seeds


class Panel(Section):
    """One model with its pool; `rows`, `prompt_tokens` and `parameters` are for the estimate of time where neither is at hand."""

    label: str | None = Field(None, description="in the table; null: its name")
    config: str = Field(description="a ready config or a YAML file")
    set: dict[str, JsonValue] = Field(default_factory=dict, description="settings over it, by dotted key")
    tests: list[str] | None = Field(None, description="in place of the table's")
    arms: list[str] | None = Field(None, description="arms of this panel; null: all")
    rows: PositiveInt = Field(description="prompts of the pool")
    prompt_tokens: PositiveInt = Field(150, description="mean tokens of a prompt")
    parameters: PositiveInt = Field(description="of the model")


class Arm(Section):
    """One row: a choice of prompts and a training on them."""

    label: str | None = Field(None, description="in the table; null: its name")
    method: Annotated[str, OneOf(METHODS)] = Field("learnalign", description="how prompts are ranked")
    train: Literal["subset", "pool", "none"] = Field(
        "subset", description="on the chosen prompts, on the whole pool, or not at all: the model as it is"
    )
    size: Size | None = Field(None, description="prompts to choose, in place of the table's sizes")
    steps: PositiveInt | None = Field(None, description="of its training, in place of the table's")
    set: dict[str, JsonValue] = Field(default_factory=dict, description="settings over its panel's, by dotted key")
    diversity: str | None = Field(None, description="kmeans:K, as of `select --diversity`")
    rounds: list[Fraction] | None = Field(None, description="train in rounds on these fractions of the pool (App. K)")
    spend: str | None = Field(None, description="an arm: trains longer by the steps that its selection costs")


class Runs(Section):
    """Cells to run: every combination; null takes all that the table has."""

    panels: list[str] | None = None
    arms: list[str] | None = None
    sizes: list[Size] | None = None
    seeds: list[Seed] | None = Field(None, description="which, or how many, from 0 on")

    _listed = field_validator("seeds", mode="before")(listed)


class Statistics(Section):
    """What is compared: one contrast is primary, those of all other arms with `against` are adjusted after Holm."""

    primary: str = Field(description="the arm of the primary contrast")
    against: str = Field(description="the arm that every arm is compared with, paired by seed")
    size: Size = Field(description="the size at which arms are compared")
    panel: str | None = Field(None, description="of the primary contrast; null: the first")
    also_against: list[str] = Field(
        default_factory=list, description="further arms that the primary one is compared with"
    )


class Table(Section):
    """A table or figure: its cells, their measures and the paper's numbers."""

    title: str
    source: str = Field("", description="where the paper has it")
    notes: list[str] = Field(default_factory=list, description="what differs from the paper, said below the table")
    panels: dict[FileName, Panel] = Field(min_length=1)
    arms: dict[FileName, Arm] = Field(min_length=1)
    sizes: list[Size] = Field(["all"], min_length=1, description="prompts to choose")
    tests: list[str] = Field(min_length=1, description="ready test sets or files, as `eval --data` takes them")
    evaluate: dict[str, JsonValue] = Field(
        default_factory=dict, description="settings of every evaluation, by dotted key"
    )
    steps: PositiveInt | None = Field(None, description="of every training; null: the config's")
    at: list[Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        [1.0], description="shares of the steps after which policies are evaluated"
    )
    seeds: list[Seed] = Field([0], description="of whole pipelines: which, or how many, from 0 on")
    runs: list[Runs] | None = Field(
        None, description="the cells, first ones first; null: every arm at every size and seed"
    )
    measures: list[Annotated[str, OneOf(MEASURES)]] = Field(
        ["accuracy"], min_length=1, description="columns, at each size"
    )
    reference: str | None = Field(None, description="the arm whose accuracy and time the others' are measured by")
    published: dict[str, dict[str, list[Number]]] = Field(
        default_factory=dict, description="the paper's numbers: panel, arm, columns"
    )
    statistics: Statistics | None = None

    _listed = field_validator("seeds", mode="before")(listed)

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Table:
        arms = [("reference", self.reference), *((f"arms.{name}.spend", arm.spend) for name, arm in self.arms.items())]
        if self.statistics:
            own = self.statistics
            arms += [(f"statistics.{key}", getattr(own, key)) for key in ("primary", "against")]
            arms += [("statistics.also_against", name) for name in own.also_against]
        arms += [(f"panels.{name}.arms", arm) for name, panel in self.panels.items() for arm in panel.arms or []]
        arms += [("runs", arm) for runs in self.runs or [] for arm in runs.arms or []]
        arms += [(f"published.{panel}", arm) for panel, rows in self.published.items() for arm in rows]
        panels = [("published", name) for name in self.published]
        panels += [("runs", name) for runs in self.runs or [] for name in runs.panels or []]
        for known, named in ((self.arms, arms), (self.panels, panels)):
            for key, name in named:
                if name is not None and name not in known:
                    raise ValueError(f"{key} {name}: {unknown(known, name)}")
        return self

    def columns(self, panel: str) -> list[tuple[Size, str, str | None]]:
        """(size, measure, test) of each column, size by size; a test for accuracy alone."""
        tests = self.panels[panel].tests or self.tests
        return [
            (size, measure, test)
            for size in self.sizes
            for measure in self.measures
            for test in (tests if measure == "accuracy" else [None])
        ]
