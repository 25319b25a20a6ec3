"""Row means of S from blocks of vectors, against float64 at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from learnalign.gradients.sums import CACHE_ENTRIES
from learnalign.selection.pool import Vectors
from learnalign.selection.scores import by_centroid

SIZES = (39, 0, 17, 1)  # of blocks: parts of 16 rows, of which none, one or few are left


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
def test_alignments_by_the_centroid_are_those_of_float64(kind: torch.dtype) -> None:
    width, count = CACHE_ENTRIES // 16, sum(SIZES) + 3
    rng = np.random.default_rng(0)
    units = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(sum(SIZES), width)) + 0.1)).to(kind)
    places, weights = rng.permutation(count)[: len(units)], rng.random((2, count))

    def stream() -> Iterator[Vectors]:
        for start, size in zip(np.cumsum((0, *SIZES)), SIZES, strict=False):
            own = slice(start, start + size)
            yield Vectors(places[own], units[own], np.arange(start, start + size, dtype=float))

    result = by_centroid(stream, weights)
    exact = units.double().numpy()
    np.testing.assert_allclose(
        result.alignment[:, places], weights[:, places] @ exact @ exact.T / count, rtol=1e-12, atol=1e-16
    )
    assert np.isnan(result.alignment).sum() == 2 * 3
    np.testing.assert_array_equal(result.norm[places], np.arange(len(units)))
