"""The run directory: paths, atomic files and their digests, fingerprints, run.json. Imports torch only to read or write tensors."""

from learnalign.rundir.checking import check_config, no_run
from learnalign.rundir.labels import Label, label_of
from learnalign.rundir.machine import this_moment
from learnalign.rundir.paths import Shard, Slice, default_file_name, file_name
from learnalign.rundir.records import Quarantined
from learnalign.rundir.replacing import in_place
from learnalign.rundir.rundir import RunDir, StageRecord
from learnalign.rundir.trust import check_inside, check_trust, remember_trust

__all__ = [
    "Label",
    "Quarantined",
    "RunDir",
    "Shard",
    "Slice",
    "StageRecord",
    "check_config",
    "check_inside",
    "check_trust",
    "default_file_name",
    "file_name",
    "in_place",
    "label_of",
    "no_run",
    "remember_trust",
    "this_moment",
]
