"""From YAML to a table, at full scale or with the embedded model in place of the paper's."""

from __future__ import annotations

import copy
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from learnalign import demo
from learnalign.config import read_yaml
from learnalign.errors import InputError, one_line, short
from learnalign.evaluation.testset import test_sets
from learnalign.inputs import local_path
from learnalign.names import SCALES, unknown
from learnalign.papers.table import Number, Table, split_test


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
    files = sorted(
        folder.glob("*.yaml"), key=lambda file: [part.zfill(3) for part in file.stem.split("-")]
    )  # 2 before 10
    return {file.stem: file for file in files}


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
        whole = Table.model_validate(settings)  # before anything is put in its place
        _check_tests(file, whole)
        _check_lists(file, whole)
        if scale in STAND_INS:
            settings = _stand_in(settings, STAND_INS[scale], whole)
        return _beside(Table.model_validate(settings | own.get(scale, {})), file.parent)
    except ValidationError as error:
        problems = {
            _key(item): _problem(_key(item), item) for item in reversed(error.errors())
        }  # the first one of a key
        raise InputError(f"{file}: {'; '.join(list(problems.values())[::-1][:8])}") from None


def _check_tests(file: Path, table: Table) -> None:
    """Raise InputError for a test that is no ready set, no file and no data set's name on a hub, which has a slash."""
    known = {**test_sets(), **demo.POOLS}
    for test in {test for panel in table.panels for test in table.tests_of(panel)}:
        data = split_test(test)[0]
        if data not in known and "/" not in data and not Path(data).exists():
            raise InputError(f"{file}: tests: {data}: {unknown(known, data)}; or give a file, or OWNER/NAME on a hub")


def _check_lists(file: Path, table: Table) -> None:
    """Raise InputError for what is given twice, where it would count once."""
    lists: dict[str, list[Any]] = {"sizes": table.sizes, "seeds": table.seeds, "tests": table.tests}
    for number, runs in enumerate(table.runs or []):
        lists |= {f"runs.{number}.{key}": getattr(runs, key) or [] for key in ("panels", "arms", "sizes", "seeds")}
    if own := table.statistics:
        lists["statistics"] = [own.primary, own.against, *own.also_against]
    for key, values in lists.items():
        if twice := [value for value, count in Counter(map(str, values)).items() if count > 1]:
            raise InputError(f"{file}: {key}: {twice[0]} is given twice")


def _beside(table: Table, folder: Path) -> Table:
    """With a panel's config a file beside the table, if there is one; as the `base` of a config."""
    panels = {
        name: panel.model_copy(update={"config": str(folder / panel.config)})
        if (folder / panel.config).is_file()
        else panel
        for name, panel in table.panels.items()
    }
    return table.model_copy(update={"panels": panels})


def _key(item: Any) -> str:
    """Where a fault stands, without the branches of a union."""
    return ".".join(part for each in item["loc"] if not re.search(r"[\[\]]|^constrained-", part := str(each)))


# What pydantic calls the kinds of values, as `learnalign config` says them.
_KINDS = {
    "list": "a list",
    "dictionary": "a section of keys",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
}


def _problem(key: str, item: Any) -> str:
    if item["type"] == "missing":
        return f"{key} is required"
    if item["type"] == "extra_forbidden":
        return f"unknown key {key}"
    message = one_line(item["msg"].removeprefix("Value error, "), 300)
    if kind := re.match(r"Input should be a valid (\w+)", message):
        message = f"it should be {_KINDS[kind[1]]}"
    message = message.replace("Input should be", "it should be", 1)
    return f"{key}: got {short(item['input'])}, but {message[0].lower()}{message[1:]}" if key else message


def _is_section(value: Any) -> bool:
    return isinstance(value, dict)


def _stand_in(settings: dict[str, Any], here: StandIn, whole: Table) -> dict[str, Any]:
    """A table's settings with the embedded model, pool and test; sizes and steps keep their proportions."""
    settings = copy.deepcopy(settings)
    panels = list(whole.panels.values())
    share = here.rows / panels[0].rows
    usual = whole.steps or panels[0].steps
    for panel, old in zip(settings["panels"].values(), panels, strict=True):
        own = {"config": here.config, "rows": here.rows, "parameters": PARAMETERS, "prompt_tokens": PROMPT_TOKENS}
        panel |= own | {"tests": None, "set": {}}
        panel |= {"steps": old.steps and _steps(old.steps, usual, here)}
        panel |= {"sizes": old.sizes and [_scaled(size, here.rows / old.rows) for size in old.sizes]}
    for arm, former in zip(settings["arms"].values(), whole.arms.values(), strict=True):
        if arm:
            arm |= {"size": _scaled(former.size, share), "steps": former.steps and _steps(former.steps, usual, here)}
    made = {"sizes": [_scaled(size, share) for size in whole.sizes], "steps": here.steps, "seeds": 1}
    rounds = {key: value for key, value in whole.evaluate.items() if key == "eval.rounds"}
    made |= {"tests": [TEST] if any(map(whole.tests_of, whole.panels)) else [], "evaluate": here.evaluate | rounds}
    if whole.runs:
        made["runs"] = _runs(whole, here)
    if compared := whole.statistics:
        size = _scaled(compared.size, _share(whole, compared.panel or next(iter(whole.panels)), here))
        made["statistics"] = compared.model_dump() | {"size": size}
    return settings | made | {"published": _published(whole), "notes": [*whole.notes, *_in_place(whole)]}


def _share(whole: Table, panel: str, here: StandIn) -> float:
    """Of a panel's sizes: those of the table keep their proportion to the first panel's pool."""
    own = whole.panels[panel] if whole.panels[panel].sizes else next(iter(whole.panels.values()))
    return here.rows / own.rows


def _runs(whole: Table, here: StandIn) -> list[dict[str, Any]]:
    """The table's runs, with sizes those of each panel by itself."""
    made = []
    for runs in whole.runs or []:
        for panels in [[panel] for panel in runs.panels or whole.panels] if runs.sizes else [runs.panels]:
            sizes = runs.sizes and panels and [_scaled(size, _share(whole, panels[0], here)) for size in runs.sizes]
            made.append(runs.model_dump() | {"panels": panels, "sizes": sizes})
    return made


def _steps(steps: int, usual: int | None, here: StandIn) -> int:
    return max(1, round(here.steps * steps / (usual or steps)))


def _published(whole: Table) -> dict[str, dict[str, list[Number]]]:
    """The paper's numbers with one test in place of all: at each size, their mean stands beside it."""
    made: dict[str, dict[str, list[Number]]] = {}
    for panel, rows in whole.published.items():
        for arm in rows:
            numbers, columns = whole.published_of(panel, arm), whole.columns(panel)
            tests, row = len(whole.tests_of(panel)), list[Number]()
            for k, (number, (_, measure, _)) in enumerate(zip(numbers, columns, strict=True)):
                if measure != "accuracy":
                    row.append(number)
                elif columns[k - 1][:2] != columns[k][:2] or k == 0:
                    row.append(_mean(numbers[k : k + tests]))
            made.setdefault(panel, {})[arm] = row
    return made


def _mean(numbers: Sequence[Number]) -> Number:
    if len(numbers) == 1 or None in numbers:
        return numbers[0] if len(numbers) == 1 else None
    return statistics.fmean(number[0] if isinstance(number, list) else number or 0.0 for number in numbers)


def _in_place(whole: Table) -> list[str]:
    """What the numbers are below full scale, and the columns if a panel has several tests."""
    if not whole.published:
        return []
    said = ["the embedded model is in place of the paper's; its numbers cannot agree with the paper's"]
    if all(len(whole.tests_of(panel)) < 2 for panel in whole.panels):
        return said
    return [*said, f"{TEST} is in place of all tests; the paper's accuracy beside it is the mean of its columns"]


def _scaled(size: Any, share: float) -> Any:
    return max(2, round(size * share)) if isinstance(size, int) else size
