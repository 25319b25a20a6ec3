"""What every group of settings is built from."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from learnalign.names import unknown

Fraction = typing.Annotated[float, Field(ge=0.0, le=1.0)]
_MOST = 2**63 - 1  # what NumPy, PyArrow and torch count to
PositiveInt = typing.Annotated[int, Field(gt=0, le=_MOST)]
NonNegativeInt = typing.Annotated[int, Field(ge=0, le=_MOST)]
Seed = typing.Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators are seeded with
NonNegativeFloat = typing.Annotated[float, Field(ge=0.0)]


def one_of(names: Mapping[str, str]) -> AfterValidator:
    """Accepts the names of a table of names.py."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(unknown(names, name))
        return name

    return AfterValidator(check)


def described(names: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {about}" for name, about in names.items())


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
