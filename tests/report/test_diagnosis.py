"""The diagnosis in figure, table and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spisonet.analysis.half_maps import HalfMaps
from spisonet.analysis.orientation_diagnostics import diagnose
from spisonet.analysis.recommendation import recommend
from spisonet.figures.diagnosis import draw_diagnosis
from spisonet.io.mrc import Volume
from spisonet.report.diagnosis import diagnosis_section
from tests.anisotropy.simulation import simulate_half_maps, views_about_z

N, VOXEL_SIZE = 32, 3.0


@pytest.fixture(scope="module")
def half_maps():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(30, 3)) * N / 9
    grid = np.moveaxis(np.indices((N, N, N)) - N // 2, 0, -1)
    density = sum(np.exp(-np.sum((grid - centre) ** 2, axis=-1) / 2.5) for centre in centres)
    halves = simulate_half_maps((density / density.std()).astype(np.float32), views_about_z(6), 12.0)
    return HalfMaps(*(Volume(half, VOXEL_SIZE) for half in halves))


@pytest.fixture(scope="module", params=[False, True], ids=["half maps", "with particles"])
def diagnosis(request, half_maps):
    views = views_about_z(6) if request.param else None
    return diagnose(half_maps, None, 1, views, 0 if views is None else len(views))


def test_views_and_the_coverage_of_fourier_space_are_drawn(diagnosis):
    figure = draw_diagnosis(diagnosis)
    curves, *globes, bar = figure.axes
    assert curves.get_title(loc="left") == "FSC of the half maps"
    assert bar.get_ylabel() == "density relative to even views"
    images = {panel.get_title(): np.asarray(panel.images[0].get_array()) for panel in globes}
    if diagnosis.particles is None:
        assert list(images) == ["views: estimated from the half maps", "Fourier space: measured (FSC)"]
    else:
        assert list(images) == [
            f"views: {diagnosis.particles.n_particles:,} particles",
            "Fourier space: sampled (particle angles)",
            "Fourier space: measured (FSC)",
        ]
    middle = len(next(iter(images.values()))) // 2
    for title, image in images.items():
        centre, equator = image[middle, middle], image[middle, -5]
        if title.startswith("views"):
            assert centre > 10 * equator  # views about z
        else:
            assert centre < 0.1 * equator  # sample the directions normal to z


def test_a_section_gives_the_strategy_its_reasons_and_thresholds(diagnosis, tmp_path):
    recommendation = recommend(diagnosis, Path("half1.mrc"), Path("half2.mrc"), None)
    section = diagnosis_section(diagnosis, recommendation, tmp_path / "page.html")
    html, numbers = section.html, section.numbers
    assert numbers["strategy"] == diagnosis.strategy.value
    assert recommendation.headline in html
    assert html.count("<li>") == len(recommendation.reasons)
    assert f"{diagnosis.metrics.cfar:.2f}</td><td>problem below 0.5" in html
    assert numbers["measured"]["undersampled_fraction"] == diagnosis.measured.undersampled_fraction
    assert ("well sampled, but low correlation" in html) == (diagnosis.particles is not None)
    assert (numbers["particles"] is None) == (diagnosis.particles is None)
    assert list(section.figures) == [tmp_path / "page_directions.png"]
