"""One thread a process (two threads on two busy cores spin), no hub, no network, no test that measures time.

What tests trust is stored apart from what the user of this machine trusts.
"""

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

from learnalign.errors import InputError
from learnalign.verify.code.local import working_mode

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="learnalign-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def sandbox_here() -> None:
    """Skips where no local sandbox can start; fails with REQUIRE_SANDBOX."""
    try:
        working_mode()
    except InputError as error:
        (pytest.fail if "REQUIRE_SANDBOX" in os.environ else pytest.skip)(str(error))
