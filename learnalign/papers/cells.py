"""The cells of a table: one arm at one size with one seed, and the settings that it resolves to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from learnalign.config import Config, load_config
from learnalign.errors import InputError
from learnalign.papers.table import Arm, Runs, Size, Table
from learnalign.rounds import check_fractions
from learnalign.training.steps import groups_per_step

LATER = ("train", "eval")  # sections that a pipeline does not depend on
AFTER_ROLLOUT = ("grad", "signal", "select")  # sections that warmup and rollouts do not depend on


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm with one seed, on a subset of `size` or None; `config` is that of its run directory, its training's included."""

    panel: str
    name: str
    arm: Arm
    size: Size | None
    seed: int
    tests: tuple[str, ...]
    at: tuple[float, ...]
    evaluate: tuple[str, ...]
    config: Config

    @property
    def key(self) -> str:
        """PANEL/ARM/SIZE/SEED."""
        return f"{self.panel}/{self.name}/{'-' if self.size is None else self.size}/{self.seed}"

    @property
    def label(self) -> str:
        """A file name for its choice and its training, its own among those of its pipeline."""
        size = "" if self.size is None else f"-{self.size}"
        return f"{self.name}{size}-{_digest([_settings(self.config, 'eval'), self._arm])[:6]}"

    @property
    def place(self) -> str:
        """What it writes in its run directory; cells with the same one, as those of panels with other tests, run one by one."""
        return f"{self.pipeline}/{'base' if self.arm.train == 'none' else self.label}"

    @property
    def _arm(self) -> dict[str, Any]:
        return self.arm.model_dump(mode="json", exclude={"label", "set"}, exclude_defaults=True)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of everything that decides its result; keys that later versions add change nothing until they are set."""
        return _digest([_settings(self.config), self._arm, self.size, self.tests, self.at, self.evaluate])

    @cached_property
    def pipeline(self) -> str:
        """Name of the run directory, which it shares with the cells of the same seed and settings before training."""
        return f"seed{self.seed}-{_digest(_settings(self.config, *LATER))[:8]}"

    @cached_property
    def shared(self) -> str:
        """What run directories with the same warmup and rollouts have in common: one samples, the others copy it."""
        return f"seed{self.seed}-{_digest(_settings(self.config, *LATER, *AFTER_ROLLOUT))[:8]}"


def _settings(config: Config, *left_out: str) -> dict[str, Any]:
    """What is set otherwise than by default, without some sections."""
    return config.model_dump(mode="json", exclude={*left_out}, exclude_defaults=True)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def cells_of(table: Table) -> list[Cell]:
    """Every cell once, in the order of the table's `runs`; raises InputError for settings that cannot be."""
    cells: dict[str, Cell] = {}
    configs: dict[str, Config] = {}
    for panel, name, size, seed in _combinations(table):
        arm, place = table.arms[name], table.panels[panel]
        steps = arm.steps or place.steps or table.steps
        settings: dict[str, Any] = {"train.keep_checkpoints": policies_kept(table.at), "seed": seed}
        if arm.rounds:
            check_fractions(arm.rounds)
            settings = {"select.method": arm.method, "seed": seed}
        wanted = settings | ({"train.steps": steps} if steps else {}) | place.set | arm.set
        where = json.dumps([place.config, wanted, arm.batch])
        if where not in configs:
            try:
                configs[where] = _config(place.config, wanted, arm.batch)
            except InputError as error:
                raise InputError(f"panel {panel}, arm {name}: {error}") from None
        cell = Cell(
            panel=panel,
            name=name,
            arm=arm,
            size=arm.size or size if arm.chooses else None,
            seed=seed,
            tests=tuple(table.tests_of(panel)),
            at=tuple(table.at),
            evaluate=overrides(table.evaluate),
            config=configs[where],
        )
        cells.setdefault(cell.key, cell)
    return list(cells.values())


def _config(name: str, settings: dict[str, Any], batch: float | None) -> Config:
    """A panel's config with an arm's settings; steps of `batch` times its completions are whole groups."""
    config = load_config(name, overrides(settings))
    if batch is None:
        return config
    own = config.train.over(config.warmup)
    groups = max(1, round(batch * groups_per_step(own, "train")))
    return load_config(name, overrides(settings | {"train.batch_size": groups * own.num_generations}))


def overrides(settings: dict[str, Any]) -> tuple[str, ...]:
    """KEY=VALUE of each, as `--set` takes them."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())


def policies_kept(at: list[float]) -> int:
    """The fewest evenly spaced policies among which are those after these shares of the steps."""
    counts = range(1, 1001)
    return next((n for n in counts if all(abs(share * n - round(share * n)) < 1e-6 for share in at)), counts[-1])


def _combinations(table: Table) -> Iterator[tuple[str, str, Size, int]]:
    """Panel, arm, size and seed of each cell: every arm with the first seed, then with the next."""
    for runs in table.runs or [Runs()]:
        for seed in runs.seeds or table.seeds:
            for panel in runs.panels or table.panels:
                for arm in runs.arms or table.panels[panel].arms or table.arms:
                    for size in runs.sizes or table.sizes_of(panel):
                        yield panel, arm, size, seed
