"""The map and the package: what learnalign/README.md and CONTRIBUTING.md name is there, and packages are complete."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "learnalign"


@pytest.mark.parametrize("page", [PACKAGE / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "README.md"])
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    paths = re.findall(r"`((?:[\w-]+/)*[\w-]+\.py)`", page.read_text(encoding="utf-8"))
    places = [PACKAGE, ROOT, *(path.parent for path in PACKAGE.rglob("__init__.py"))]
    missing = [path for path in paths if Path(path).stem != "X" and not any((at / path).is_file() for at in places)]
    assert missing == []


def test_every_ready_configuration_that_the_map_names_is_there() -> None:
    names = re.findall(r"`(papers/[\w.*-]+)`", (PACKAGE / "README.md").read_text(encoding="utf-8"))
    assert names
    assert [name for name in names if not list((ROOT / "configs").glob(f"{name}.yaml"))] == []


def test_the_map_knows_every_package_and_top_module() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    names = [path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert [name for name in names if name != "__init__" and name not in text] == []


def test_every_package_is_in_the_wheel() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    data = {"learnalign.demo.model", "learnalign.demo.sets"}  # folders without code
    data |= {f"learnalign_configs.{name}" for name in ("accelerate", "eval", "papers", "papers.tables", "slurm")}
    assert packages | data | {"learnalign_cli", "learnalign_configs"} == set(listed)


def test_no_code_cites_a_document_that_is_not_here() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    cited = re.compile("design" + r"(?:\.md)? §")
    assert [str(file) for file in files if cited.search(file.read_text(encoding="utf-8"))] == []
