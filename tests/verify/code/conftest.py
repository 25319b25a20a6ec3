"""A sandbox on this machine, and the verifier that uses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from learnalign.verify import Verifier, open_verifier
from learnalign.verify.code.local import LocalSandbox


@pytest.fixture
def sandbox(sandbox_here: None) -> Iterator[LocalSandbox]:
    opened = LocalSandbox()
    yield opened
    opened.close()


@pytest.fixture
def verifier(sandbox_here: None) -> Iterator[Verifier]:
    with open_verifier("code", sandbox="local") as opened:
        yield opened
