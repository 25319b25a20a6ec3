"""One thread a process (two threads on two busy cores spin), no hub, no network, no test that measures time.

What tests trust is stored apart from what the user of this machine trusts.
"""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="learnalign-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
