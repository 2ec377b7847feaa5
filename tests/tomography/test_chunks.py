"""Chunks and slabs of volumes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.chunks import Chunk, chunks, read_mirrored, slabs
from tests.tomography.simulation import gaussian_noise, write_mrc


@given(shape=st.tuples(*[st.integers(2, 30)] * 3), edge=st.integers(3, 20), margin=st.integers(0, 2))
def test_chunks_cover_a_volume_once(shape, edge, margin):
    count = np.zeros(shape, dtype=int)
    for chunk in chunks(shape, edge, margin):
        count[chunk.inner] += 1
        inner = tuple(part.stop - part.start for part in chunk.inner)
        assert tuple(part.stop - part.start for part in chunk.inner_in_chunk) == inner
        assert chunk.shape == tuple(n + 2 * margin for n in inner)
    assert (count == 1).all()
    assert sum(slab.stop - slab.start for slab in slabs(shape)) == shape[0]


def test_margins_are_mirrored_at_the_borders(tmp_path):
    data = gaussian_noise((6, 7, 8))
    tomogram = open_tomogram(write_mrc(tmp_path / "t.mrc", data))
    (chunk,) = chunks((6, 7, 8), 10, 2)
    np.testing.assert_array_equal(read_mirrored(tomogram, chunk), np.pad(data, 2, mode="symmetric"))
    inner = Chunk((slice(2, 4), slice(2, 5), slice(3, 6)), (1, 1, 2), (4, 5, 5))
    np.testing.assert_array_equal(read_mirrored(tomogram, inner), data[1:5, 1:6, 2:7])
