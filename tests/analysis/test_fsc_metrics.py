"""Numbers that summarise FSC curves over many directions."""

import numpy as np
import pytest

from spisonet.analysis.fsc_metrics import (
    conical_area_ratio,
    directional_resolutions,
    resolution_histogram,
    sphericity,
)
from spisonet.geometry.sphere import geodesic_sphere


def test_sphericity_of_known_solids() -> None:
    sphere = geodesic_sphere()
    z, y, x = sphere.axes_zyx.T
    assert sphericity(np.full(181, 0.3), sphere) == pytest.approx(1, abs=1e-9)
    oblate = 1 / np.sqrt(x**2 + y**2 + (z / 0.5) ** 2)
    assert sphericity(oblate, sphere) == pytest.approx(0.913, abs=0.01)
    assert sphericity(7 * oblate, sphere) == pytest.approx(sphericity(oblate, sphere))


def test_area_ratio_ends_at_the_first_crossing() -> None:
    curves = np.array([[1, 1, 1, 1, 0], [1, 1, 0.1, 1, 1]])
    assert conical_area_ratio(curves) == pytest.approx(0.5)
    assert conical_area_ratio(curves[:1]) == 1
    assert conical_area_ratio(curves, weight_by_shell_area=True) == pytest.approx(1 / 14)
    assert conical_area_ratio(np.zeros((2, 4))) == 0


def test_directional_resolutions_and_histogram() -> None:
    curves = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    resolutions = directional_resolutions(curves, 0.5, 60.0)
    np.testing.assert_allclose(resolutions, [60 / 2.5, 60 / 4.5])
    counts, edges = resolution_histogram(resolutions)
    assert counts.sum() == 2
    assert edges[0] == pytest.approx(2.5 / 60)
