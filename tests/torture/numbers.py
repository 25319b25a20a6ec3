"""Numbers and bad inputs: the tables of them that `make test` goes through, counted case by case."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as Tree
from pathlib import Path

from tests.torture.places import Place
from tests.torture.trials import Outcome, Trial

NAMES: list[str] = []  # no run is needed
FILES = ("tests/test_numbers.py", "tests/test_bad_inputs.py")


def trials() -> list[Trial]:
    return [Trial(file, functools.partial(attack, file=file)) for file in FILES]


def attack(place: Place, name: str, file: str) -> list[Outcome]:
    """Every case of a test file is an outcome."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", file]
        subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, check=False)
        cases = list(Tree.parse(report).getroot().iter("testcase"))
    return [
        Outcome(
            f"{name}: {case.get('name')}",
            [str(each.get("message")) for each in case if each.tag in ("failure", "error")],
        )
        for case in cases
    ]
