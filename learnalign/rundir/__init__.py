"""The run directory: paths, atomic files, fingerprints, run.json. Imports torch only to read or write tensors."""

from learnalign.rundir.rundir import Quarantined, RunDir, Shard, StageRecord, default_file_name, file_name

__all__ = ["Quarantined", "RunDir", "Shard", "StageRecord", "default_file_name", "file_name"]
