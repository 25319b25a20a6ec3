"""A hostile program: what it tries, and the one test that it never solves.

The test gives it the facts of the host as JSON (`places.Outside`): paths, ports, names. The right answer is the host's
secret, which lies in a file, a variable, behind the ports, and in the test itself, but not in the facts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

SECRET, VICTIM = (
    "@SECRET@",
    "@VICTIM@",
)  # in a program: the host's secret, to leave to the next one; a file that holds it
READ = "import ctypes, glob, json, os, re, signal, socket, subprocess, sys, threading, time\nfacts = json.load(sys.stdin)\n"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One hostile program.

    Args:
        name: short, unique.
        tries: what it tries, as the table says it.
        program: its source; `SECRET` and `VICTIM` in it are replaced.
        shape: how its test asks: `printed` (standard output), `called` (value of f) or `asserted` (assertions on f).
        language: `python` or `cpp`.
        bare: without a sandbox it gets the secret, harmlessly; a test proves it, so that the attack is a real one.
    """

    name: str
    tries: str
    program: str
    shape: str = "printed"
    language: str = "python"
    bare: bool = False

    def source(self, facts: dict[str, Any], secret: str) -> str:
        """The program, with the places that it names."""
        return self.program.replace(SECRET, secret).replace(VICTIM, facts["victim"])

    def completion(self, facts: dict[str, Any], secret: str) -> str:
        """The program as a model would answer it."""
        return f"```{self.language}\n{self.source(facts, secret)}\n```"

    def gold(self, facts: dict[str, Any], secret: str, seconds: float = 2.0) -> str:
        """The JSON text of its test."""
        tests: dict[str, Any] = {"language": self.language, "seconds": seconds, "memory_mb": 256}
        if self.shape == "printed":
            tests |= {"tests": [{"stdin": json.dumps(facts) + "\n", "stdout": secret + "\n"}]}
        elif self.shape == "called":
            tests |= {"entry_point": "f", "tests": [{"call": [facts], "value": secret}]}
        else:
            tests |= {"entry_point": "f", "tests": [f"assert f({facts!r}) == {secret!r}"]}
        return json.dumps(tests)
