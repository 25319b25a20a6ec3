"""C from its stored parts: the formula, gaps, and a light import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from learnalign.errors import InputError
from learnalign.rundir.files import write_parquet
from learnalign.signals.concentration import combine, concentrations
from tests.tiny import make_run


def test_c_is_the_weighted_sum_and_c_intra_without_a_first_segment() -> None:
    for c_inter in ([0.25, None, None], np.array([0.25, np.nan, np.nan])):
        values = combine([0.5, 0.75, None], c_inter, 3.0)
        assert values[:2].tolist() == [1.25, 0.75]
        assert np.isnan(values[2])


def test_stored_parts_are_combined_with_the_present_weight(tmp_path: Path) -> None:
    run = make_run(tmp_path, signal={"angle_weight": 4.0})
    with pytest.raises(InputError, match=r"angle\.parquet does not exist; make it with `learnalign signal .* angle`"):
        concentrations(run)
    parts = {"value": [9.0, 9.0, None], "c_intra": [0.5, 0.25, None], "c_inter": [0.125, None, None]}
    write_parquet(run.signal_file("angle"), pa.table({"id": ["a", "b", "c"], **parts}), "f")
    assert concentrations(run) == {"a": 1.0, "b": 0.25}


@pytest.mark.parametrize("module", ["learnalign.signals.concentration", "learnalign.curriculum.gain"])
def test_reading_concentrations_imports_no_torch(module: str) -> None:
    check = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
