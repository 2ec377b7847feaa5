from __future__ import annotations

import numpy as np

from spisonet.io.imod import is_own_model, read_contours, write_contours


def test_a_model_has_the_lengths_of_imods_format(tmp_path):
    path = tmp_path / "b.mod"
    write_contours(path, [[[1, 2, 3]] * 5, [[4, 5, 6]] * 3], (8, 16, 16))
    content = path.read_bytes()
    assert content[:8] == b"IMODV1.2"
    assert content[136:152] == b"".join(n.to_bytes(4, "big") for n in (16, 16, 8, 1))  # x, y, z, objects
    assert content[240:244] == b"OBJT"
    assert content[240 + 4 + 176 :].startswith(b"CONT" + (5).to_bytes(4, "big"))
    assert content.endswith(b"IEOF")
    assert len(content) == 240 + 4 + 176 + 2 * (4 + 16) + 12 * 8 + 4
    assert is_own_model(path)
    contours = read_contours(path)
    np.testing.assert_array_equal(contours[0], [[1, 2, 3]] * 5)
    np.testing.assert_array_equal(contours[1], [[4, 5, 6]] * 3)
