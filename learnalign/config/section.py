"""What every group of settings is built from."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from learnalign.names import unknown

Fraction = typing.Annotated[float, Field(ge=0.0, le=1.0)]
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
