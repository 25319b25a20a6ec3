"""A sandbox on this machine, or the word that there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from learnalign.errors import InputError
from learnalign.verify import Verifier, open_verifier
from learnalign.verify.code.local import LocalSandbox, working_mode


@pytest.fixture(scope="session")
def sandbox_here() -> None:
    """Skips where no local sandbox can start; fails with REQUIRE_SANDBOX."""
    try:
        working_mode()
    except InputError as error:
        (pytest.fail if "REQUIRE_SANDBOX" in os.environ else pytest.skip)(str(error))


@pytest.fixture
def sandbox(sandbox_here: None) -> Iterator[LocalSandbox]:
    opened = LocalSandbox()
    yield opened
    opened.close()


@pytest.fixture
def verifier(sandbox_here: None) -> Iterator[Verifier]:
    with open_verifier("code", sandbox="local") as opened:
        yield opened
