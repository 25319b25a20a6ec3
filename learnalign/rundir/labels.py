"""The label of a choice: method, clusters and seed, by which its files and its entry in run.json are called."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Self

from learnalign.config import Config
from learnalign.config.keys import type_of
from learnalign.errors import InputError
from learnalign.names import DRAWN


@dataclass(frozen=True, kw_only=True)
class Label:
    """METHOD, METHOD-kmeansK with K `clusters` (App. H), and with another `seed` than the run's -seedS after it."""

    method: str
    clusters: int | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The label that reads `text`."""
        match = re.fullmatch(r"(.*?)(?:-kmeans(\d+))?(?:-seed(\d+))?", text, re.DOTALL)
        method, clusters, seed = match.groups()  # type: ignore[union-attr]  # matches every text
        return cls(method=method, clusters=int(clusters) if clusters else None, seed=int(seed) if seed else None)

    def __str__(self) -> str:
        clusters = "" if self.clusters is None else f"-kmeans{self.clusters}"
        return self.method + clusters + ("" if self.seed is None else f"-seed{self.seed}")

    @property
    def draws(self) -> bool:
        """Whether the choice depends on a seed."""
        return self.method in DRAWN or self.clusters is not None

    @property
    def options(self) -> dict[str, Any]:
        """The options of `select` that the label tells; None for those that it leaves out."""
        diversity = None if self.clusters is None else f"kmeans:{self.clusters}"
        return {"method": self.method, "diversity": diversity, "seed": self.seed}

    def options_in(self, config: Config) -> dict[str, Any]:
        """`options`, with the run's seed where `select.seed` would give another one."""
        given = label_of(config, self.method, self.clusters)
        return self.options | ({"seed": self.seed_in(config)} if given != self else {})

    def typed(self, config: Config | None = None) -> str:
        """The options as one types them; those of `options_in` for a `config`."""
        options = self.options if config is None else self.options_in(config)
        return " ".join(f"--{name} {value}" for name, value in options.items() if value is not None)

    def seed_in(self, config: Config) -> int:
        """The seed of the draws."""
        return config.seed if self.seed is None else self.seed


def label_of(config: Config, method: str | None = None, clusters: int | None = None, seed: int | None = None) -> Label:
    """The label of a choice whose None are the settings'; raises InputError for a `seed` that is none, or changes nothing."""
    label = Label(method=method or config.select.method, clusters=clusters)
    if seed is not None and (type(seed) is not int or not 0 <= seed < 1 << 32):
        raise InputError(f"--seed: got {seed!r}, but it should be {type_of('select.seed')}")
    if seed is not None and not label.draws:
        raise InputError(
            f"--seed {seed}: method {label.method} draws nothing, so that no seed changes its choice; leave --seed out (methods "
            f"that draw are {', '.join(DRAWN)}, and any with --diversity)"
        )
    seed = config.select.seed if seed is None else seed
    return replace(label, seed=seed) if label.draws and seed != config.seed else label
