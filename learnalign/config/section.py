"""What every group of settings is built from."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from learnalign.names import unknown

Fraction = typing.Annotated[float, Field(ge=0.0, le=1.0)]
# Whole numbers that a float holds exactly.
PositiveInt = typing.Annotated[int, Field(gt=0, lt=1 << 53)]
NonNegativeInt = typing.Annotated[int, Field(ge=0, lt=1 << 53)]
PositiveFloat = typing.Annotated[float, Field(gt=0.0)]
NonNegativeFloat = typing.Annotated[float, Field(ge=0.0)]
# NumPy's and TRL's generators take no other seeds.
Seed = typing.Annotated[int, Field(ge=0, lt=1 << 32)]
# The completions of a group, or of a training's step, are in memory together.
Completions = typing.Annotated[int, Field(ge=1, le=1 << 16)]


def _not_all_or_one(size: Any) -> Any:
    if isinstance(size, float) and size == 1:
        raise ValueError("that may be one prompt or the whole pool; give 1, or the number of the pool's prompts")
    return size


# Prompts of a pool: a number, or a fraction.
Amount = typing.Annotated[
    PositiveInt | typing.Annotated[float, Field(gt=0.0, lt=1.0)], BeforeValidator(_not_all_or_one)
]


HOTTEST = 2.0  # the highest temperature that vLLM takes


def _not_nearly_zero(temperature: float) -> float:
    if 0 < temperature < 0.01:
        raise ValueError(
            "vLLM samples at 0.01 in place of less, and logits divided by much less overflow; give at least 0.01"
        )
    return temperature


Temperature = typing.Annotated[float, Field(ge=0.0), AfterValidator(_not_nearly_zero)]


@dataclass(frozen=True, eq=False)
class OneOf:
    """Accepts the names of a table of names.py, and lists them in the JSON schema."""

    names: Mapping[str, str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **enumerated(self.names)}

    def _check(self, name: str) -> str:
        if name not in self.names:
            raise ValueError(unknown(self.names, name))
        return name


def enumerated(names: Mapping[str, str]) -> dict[str, Any]:
    """The names as a JSON schema, with one line each."""
    return {"enum": [*names], "enumDescriptions": [*names.values()]}


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("true and false are no numbers")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation allows, without those inside lists and mappings."""
    if typing.get_origin(annotation) in (list, dict, Literal):
        return set()
    return {annotation}.union(*map(_kinds, typing.get_args(annotation)))
