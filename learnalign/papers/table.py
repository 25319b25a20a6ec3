"""A table of a paper as a file: which arms are trained on what, how often, on what they are tested, and the paper's numbers.

Torch-free. `configs/papers/tables/` has a file for each table and figure; users write theirs in the same form.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, PositiveFloat, field_validator, model_validator

from learnalign.config.section import Fraction, NonNegativeFloat, OneOf, PositiveInt, Section, Seed
from learnalign.names import MEASURES, METHODS, unknown

Size = PositiveInt | Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["all"]
Number = NonNegativeFloat | list[NonNegativeFloat] | None  # a value, or value and standard deviation
Column = tuple[Size, str, str | None]  # a size, a measure, and the test of accuracy or the point of a curve
OF_CURVES = ("average", "best", "best-step", "steps-to", "steps-to-best", "speed-up", "curve")  # means over the tests


def size_text(size: Size | None) -> str:
    """A size as people write it; nothing for an arm without one."""
    return (
        ""
        if size is None
        else f"{100 * size:g} %"
        if isinstance(size, float)
        else f"{size:,}"
        if size != "all"
        else "all"
    )


def listed(seeds: Any) -> Any:
    """A number of seeds as those from 0 on."""
    return list(range(seeds)) if type(seeds) is int and 0 < seeds < 10_000 else seeds


def spaced(at: Any) -> Any:
    """A number of points as that many evenly spaced shares, the last of them 1."""
    return [k / at for k in range(1, at + 1)] if type(at) is int and 0 < at <= 1000 else at


def split_test(test: str) -> tuple[str, list[str]]:
    """The data of a test, and the settings of its evaluation: `livecodebench pass@8` is another metric of `livecodebench`."""
    match = re.fullmatch(r"(.+) ((?:pass|avg)@\d+)", test)
    return (match[1], [f"eval.metric={match[2]}"]) if match else (test, [])


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ValueError("directories are called after it: give letters, digits, dots, dashes and underscores")
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
BY_TABLE = {"seed": "seeds", "train.steps": "steps"}  # settings of which a table has keys of its own


def _not_by_table(settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key in sorted(settings):
        if key in BY_TABLE or key.partition(".")[0] in ("select", "eval"):
            way = f"the key {BY_TABLE[key]}" if key in BY_TABLE else "an arm's keys and the table's `evaluate`"
            raise ValueError(f"{key} is not set here; give it by {way}")
    return settings


Settings = Annotated[dict[str, JsonValue], AfterValidator(_not_by_table)]


class Panel(Section):
    """One model with its pool; `rows`, `prompt_tokens` and `parameters` are for the estimate of time where neither is at hand."""

    label: str | None = Field(None, description="in the table; null: its name")
    config: str = Field(description="a YAML file, beside the table or from here, or a ready config")
    set: Settings = Field(default_factory=dict, description="settings over it, by dotted key")
    tests: list[str] | None = Field(None, description="in place of the table's")
    arms: list[str] | None = Field(None, description="arms of this panel; null: all")
    sizes: list[Size] | None = Field(None, min_length=1, description="in place of the table's")
    measures: list[Annotated[str, OneOf(MEASURES)]] | None = Field(
        None, min_length=1, description="in place of the table's"
    )
    steps: PositiveInt | None = Field(None, description="in place of the table's")
    rows: PositiveInt = Field(description="prompts of the pool")
    prompt_tokens: PositiveInt = Field(150, description="mean tokens of a prompt")
    parameters: PositiveInt = Field(description="of the model")


class Arm(Section):
    """One row: a choice of prompts and a training on them."""

    label: str | None = Field(None, description="in the table; null: its name")
    method: Annotated[str, OneOf(METHODS)] = Field("learnalign", description="how prompts are ranked")
    train: Literal["subset", "pool", "none", "choice"] = Field(
        "subset",
        description="on the chosen prompts; on the whole pool; not at all: none evaluates the model as it is, choice only chooses",
    )
    size: Size | None = Field(None, description="prompts to choose, in place of the table's sizes")
    steps: PositiveInt | None = Field(None, description="of its training, in place of the panel's and the table's")
    batch: PositiveFloat | None = Field(None, description="completions of a step, as a multiple of its config's")
    set: Settings = Field(default_factory=dict, description="settings over its panel's, by dotted key")
    diversity: str | None = Field(None, description="kmeans:K, as of `select --diversity`")
    rounds: list[Fraction] | None = Field(None, description="train in rounds on these fractions of the pool (App. K)")
    spend: str | None = Field(None, description="an arm: trains longer by the steps that its selection costs")

    @property
    def chooses(self) -> bool:
        """Whether prompts are chosen once, before training."""
        return self.train in ("subset", "choice") and self.rounds is None

    @property
    def trains(self) -> bool:
        return self.train in ("subset", "pool")

    @model_validator(mode="after")
    def _has_no_idle_keys(self) -> Arm:
        idle = {"rounds"} if self.train != "subset" else set[str]()
        idle |= set() if self.trains else {"steps", "batch", "spend"}
        idle |= (
            {"size", "diversity", "spend"}
            if self.rounds
            else set()
            if self.chooses
            else {"method", "size", "diversity"}
        )
        default = type(self).model_fields
        if found := [key for key in default if key in idle and getattr(self, key) != default[key].default]:
            kind = "an arm with rounds" if self.rounds else f"train: {self.train}"
            raise ValueError(f"{', '.join(found)}: {kind} makes no use of it; leave it out")
        return self


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
    tests: list[str] = Field(
        default_factory=list, description="ready test sets or files, as `eval --data` takes them; also `NAME pass@K`"
    )
    evaluate: dict[str, JsonValue] = Field(
        default_factory=dict, description="settings of every evaluation, by dotted key"
    )
    steps: PositiveInt | None = Field(None, description="of every training; null: the config's")
    at: list[Annotated[float, Field(gt=0.0, le=1.0)]] = Field(
        [1.0],
        min_length=1,
        description="shares of the steps after which policies are evaluated, or how many evenly spaced ones",
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
    _spaced = field_validator("at", mode="before")(spaced)

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
        for spender, arm in self.arms.items():
            if arm.spend in self.arms and self.arms[arm.spend].set != arm.set:
                raise ValueError(
                    f"arms.{spender}.spend: {arm.spend} has other settings; its cost is measured with those of {spender}"
                )
        panels: list[tuple[str, str | None]] = [("published", name) for name in self.published]
        panels += [("statistics.panel", self.statistics.panel)] if self.statistics else []
        panels += [("runs", name) for runs in self.runs or [] for name in runs.panels or []]
        for known, named in ((self.arms, arms), (self.panels, panels)):
            for key, name in named:
                if name is not None and name not in known:
                    raise ValueError(f"{key} {name}: {unknown(known, name)}")
        return self

    @model_validator(mode="after")
    def _names_apart(self) -> Table:
        for kind, names in (("arms", map(self.arm_label, self.arms)), ("panels", map(self.panel_label, self.panels))):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind}: two have the label {twice[0]}, and could not be told apart")
        return self

    @model_validator(mode="after")
    def _has_its_columns(self) -> Table:
        for name in self.panels:
            needing = [measure for measure in self.measures_of(name) if measure in ("accuracy", *OF_CURVES)]
            if needing and not self.tests_of(name):
                raise ValueError(f"tests: give at least one, which {needing[0]} is measured on")
        for panel, rows in self.published.items():
            count = len(self.columns(panel))
            for arm, numbers in rows.items():
                if numbers and len(numbers) not in (count, count // len(self.sizes_of(panel))):
                    raise ValueError(f"published.{panel}.{arm}: {len(numbers)} numbers for {count} columns")
        return self

    @model_validator(mode="after")
    def _has_its_sizes(self) -> Table:
        asked = [
            ("runs", panel, size)
            for runs in self.runs or []
            for size in runs.sizes or []
            for panel in runs.panels or self.panels
        ]
        if self.statistics:
            asked.append(("statistics.size", self.statistics.panel or next(iter(self.panels)), self.statistics.size))
        for key, panel, size in asked:
            if size not in self.sizes_of(panel):
                raise ValueError(
                    f"{key}: size {size} is no column of panel {panel}, which has {', '.join(map(str, self.sizes_of(panel)))}"
                )
        return self

    def sizes_of(self, panel: str) -> list[Size]:
        return self.panels[panel].sizes or self.sizes

    def arm_label(self, arm: str) -> str:
        """An arm's name where tables and plots show it."""
        return self.arms[arm].label or arm

    def panel_label(self, panel: str) -> str:
        """A panel's name where tables and plots show it."""
        return self.panels[panel].label or panel

    def measures_of(self, panel: str) -> list[str]:
        return self.panels[panel].measures or self.measures

    def tests_of(self, panel: str) -> list[str]:
        return self.panels[panel].tests or self.tests

    def columns(self, panel: str) -> list[Column]:
        """The columns of a panel, size by size: accuracy on each test, a curve at each of its points."""
        several: dict[str, list[str]] = {
            "accuracy": self.tests_of(panel),
            "curve": [f"after {100 * share:.3g} %" for share in self.at],
        }
        return [
            (size, measure, part)
            for size in self.sizes_of(panel)
            for measure in self.measures_of(panel)
            for part in several.get(measure, [None])
        ]

    def published_of(self, panel: str, arm: str) -> list[Number]:
        """The paper's numbers by column: an arm without sizes has its own once, for every size."""
        numbers, count = self.published.get(panel, {}).get(arm, []), len(self.columns(panel))
        return [*numbers] * (count // len(numbers)) if numbers else [None] * count
