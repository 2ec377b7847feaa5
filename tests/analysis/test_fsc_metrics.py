"""Numbers that summarise FSC curves over many directions."""

import numpy as np
import pytest

from spisonet.analysis.fsc_metrics import (
    Bound,
    Resolution,
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


def test_area_ratio_ends_at_the_crossing() -> None:
    curves = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0.2]])
    assert conical_area_ratio(curves) == pytest.approx(0.5)
    assert conical_area_ratio(curves[:1]) == 1
    assert conical_area_ratio(np.zeros((2, 4))) == 0
    dip = np.array([[1, 1, 1, 1, 0], [1, 1, -0.1, 1, 0]])
    assert conical_area_ratio(dip) == pytest.approx(0.5)
    assert conical_area_ratio(curves, weight_by_shell_area=True) == pytest.approx(1 / 14)


def test_directional_resolutions_and_histogram() -> None:
    curves = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    resolutions = directional_resolutions(curves, 0.5, 60.0)
    np.testing.assert_allclose(resolutions.angstrom, [60 / 2.5, 60 / 4.5])
    assert resolutions.is_reached.all()
    counts, edges = resolution_histogram(resolutions.angstrom)
    assert counts.sum() == 2
    assert edges[0] == pytest.approx(2.5 / 60)


def test_a_resolution_that_is_not_reached_is_called_so() -> None:
    assert str(Resolution(5.2, is_reached=False)) == "not reached (Nyquist 5.20 Å)"
    assert str(Resolution(8, is_reached=False, bound=Bound.LIMIT)) == "not reached to the limit of 8.00 Å"
    assert str(Resolution(8, is_reached=True, bound=Bound.LIMIT)) == "8.00 Å"
    assert Resolution(5.2, is_reached=False).number is None
    curves = np.array([[1, 1, 1, 1, 0.6, 0.6], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    found = directional_resolutions(curves, 0.5, 60.0)
    assert found.numbers == [None, 24.0, 13.333]
    assert str(found) == "best not reached (Nyquist 12.00 Å), median 13.33 Å, worst 24.00 Å"
