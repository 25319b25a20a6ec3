"""The run directory: paths, atomic files, fingerprints, run.json. Imports torch only to read or write tensors."""

from learnalign.rundir.rundir import Quarantined, RunDir, Shard, StageRecord, default_file_name, file_name
from learnalign.rundir.trust import check_inside, check_trust, remember_trust

__all__ = [
    "Quarantined",
    "RunDir",
    "Shard",
    "StageRecord",
    "check_inside",
    "check_trust",
    "default_file_name",
    "file_name",
    "remember_trust",
]
