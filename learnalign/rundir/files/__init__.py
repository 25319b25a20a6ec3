"""Files that appear whole or not at all, name the settings they were made with, and are read only as they were written.

whole            a temporary name beside the file's own, flushed to disk, entered in the manifest of its run directory, renamed
content          what is read is compared with the manifest, in the same pass that uses it
text             lines, JSON, JSONL, CSV
parquet, tensors tables and safetensors, which carry the fingerprint of their settings
fingerprint      which settings a file was made with
"""

from learnalign.rundir.files.content import (
    Buffer,
    check_whole,
    damaged,
    has_been_written,
    has_changed,
    is_intact,
    is_own,
    missing,
    verified,
)
from learnalign.rundir.files.fingerprint import fingerprint_of, is_done
from learnalign.rundir.files.parquet import FINGERPRINT, parquet_groups, read_parquet, write_parquet
from learnalign.rundir.files.tensors import (
    Head,
    Place,
    peek_metadata,
    read_arrays,
    read_head,
    read_metadata,
    read_places,
    read_safetensors,
    write_safetensors,
)
from learnalign.rundir.files.text import (
    as_json,
    read_json,
    read_jsonl,
    read_text,
    write_csv,
    write_json,
    write_jsonl,
    write_lines,
    write_text,
)
from learnalign.rundir.files.whole import (
    atomic_path,
    delete,
    disk_error,
    is_being_written,
    put,
    remove,
    remove_leftovers,
)

__all__ = [
    "FINGERPRINT",
    "Buffer",
    "Head",
    "Place",
    "as_json",
    "atomic_path",
    "check_whole",
    "damaged",
    "delete",
    "disk_error",
    "fingerprint_of",
    "has_been_written",
    "has_changed",
    "is_being_written",
    "is_done",
    "is_intact",
    "is_own",
    "missing",
    "parquet_groups",
    "peek_metadata",
    "put",
    "read_arrays",
    "read_head",
    "read_json",
    "read_jsonl",
    "read_metadata",
    "read_parquet",
    "read_places",
    "read_safetensors",
    "read_text",
    "remove",
    "remove_leftovers",
    "verified",
    "write_csv",
    "write_json",
    "write_jsonl",
    "write_lines",
    "write_parquet",
    "write_safetensors",
    "write_text",
]
