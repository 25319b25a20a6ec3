"""From YAML to a table, at full scale or with the embedded model in place of the paper's."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from learnalign.config import read_yaml
from learnalign.errors import InputError, one_line, short
from learnalign.inputs import local_path
from learnalign.names import SCALES, unknown
from learnalign.papers.table import Table


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """The embedded model with a pool of `rows` prompts, trained for `steps` steps where the table has its usual number."""

    config: str
    rows: int
    steps: int
    evaluate: dict[str, Any]


STAND_INS = {
    "tiny": StandIn(config="papers/tiny", rows=48, steps=2, evaluate={"data.limit": 16}),
    "small": StandIn(config="papers/small", rows=1200, steps=40, evaluate={}),
}
PARAMETERS, PROMPT_TOKENS = 750_000, 20  # of the embedded model and its questions
TEST = "demo-arithmetic-test"


def tables() -> dict[str, Path]:
    """The ready tables by name."""
    import learnalign_configs

    folder = Path(learnalign_configs.__file__).parent / "papers" / "tables"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_table(name: str, scale: str = "full") -> Table:
    """A ready table, or a YAML file of that form; at scale tiny and small the embedded model is in each panel's place.

    What the file's section `scales` has under the scale's name replaces the table's own. Raises InputError naming the key.
    """
    file = tables().get(name) or local_path(name, "paper")
    if not file.is_file():
        raise InputError(f"paper {short(name)}: {unknown(tables(), name)}; or give a YAML file of that form")
    settings = read_yaml(file, "paper")
    if not isinstance(settings, dict):
        raise InputError(f"{file}: a table needs title, panels, arms and tests")
    own = settings.pop("scales", None) or {}
    if not isinstance(own, dict) or not own.keys() <= SCALES.keys() or not all(map(_is_section, own.values())):
        raise InputError(f"{file}: scales: give sections named {', '.join(SCALES)}")
    try:
        Table.model_validate(settings)  # before anything is put in its place
        if scale in STAND_INS:
            settings = _stand_in(settings, STAND_INS[scale])
        return Table.model_validate(settings | own.get(scale, {}))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {one_line(item['msg'], 300)}" for item in error.errors()]
        raise InputError(f"{file}: {'; '.join(problem.removeprefix(': ') for problem in problems[:8])}") from None


def _is_section(value: Any) -> bool:
    return isinstance(value, dict)


def _stand_in(settings: dict[str, Any], here: StandIn) -> dict[str, Any]:
    """A table's settings with the embedded model, pool and test; sizes and steps keep their proportions."""
    settings = copy.deepcopy(settings)
    share = here.rows / next(panel["rows"] for panel in settings["panels"].values())
    for panel in settings["panels"].values():
        own = {"config": here.config, "rows": here.rows, "parameters": PARAMETERS, "prompt_tokens": PROMPT_TOKENS}
        panel |= own | {"tests": None, "set": {}}
    for arm in settings["arms"].values():
        if arm and "size" in arm:
            arm["size"] = _scaled(arm["size"], share)
        if arm and "steps" in arm:
            arm["steps"] = max(1, round(here.steps * arm["steps"] / settings.get("steps", arm["steps"])))
    sizes = [_scaled(size, share) for size in settings.get("sizes", ["all"])]
    return settings | {"tests": [TEST], "sizes": sizes, "steps": here.steps, "evaluate": here.evaluate, "seeds": 1}


def _scaled(size: Any, share: float) -> Any:
    return max(2, round(size * share)) if isinstance(size, int) else size
