"""Cases of the quality benchmark."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.quality import (
    ConeCase,
    ParticleCase,
    load_case,
    score_map,
    zone_fractions,
)
from benchmarks.quality.cases import measured_region, sampling_of_views
from benchmarks.quality.densities import Helix, model_density
from benchmarks.quality.views import VIEWS, draw_views
from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import relion_rotation_matrices, view_directions
from spisonet.io.mrc import read_volume
from spisonet.io.particles import read_particle_orientations
from tests.validation.helix import write_helix

BOX, VOXEL_SIZE = 32, 4.0


def test_a_cone_case_lacks_its_cone(sources, blobs):
    case = sources.case(ConeCase(blobs, "cone", 60, noise=0.1))
    z, y, x = np.meshgrid(*[np.fft.fftfreq(BOX) * BOX] * 3, indexing="ij")
    spectrum = np.fft.fftn(case.half1)
    missing = np.abs(z) > np.tan(np.radians(60)) * np.hypot(x, y)
    assert np.abs(spectrum[missing]).max() < 1e-3 * np.abs(spectrum).max()
    outside = missing.mean() / ((x**2 + y**2 + z**2) > 0).mean()
    assert zone_fractions(case)["empty"] == pytest.approx(outside, abs=0.05)
    assert not np.array_equal(case.half1, case.half2)
    assert case.spec == load_case(case.folder).spec


def test_wedges_have_their_tilt_axis():
    wedge, double = (measured_region(shape, 45, BOX) for shape in ("wedge", "double"))
    assert wedge[0].all()  # kz = 0
    assert not wedge[5, 9, 0]
    assert double[5, 9, 0]
    assert not double[9, 4, 3]
    assert wedge.mean() < double.mean()


def test_a_case_is_made_once(sources, blobs):
    spec = ConeCase(blobs, "wedge", 45)
    first = sources.case(spec)
    (sources.maps / blobs.source).unlink()
    # Made again, the map would be missing.
    (first.folder / "half1.mrc").unlink()
    shutil.copy(first.folder / "half2.mrc", first.folder / "half1.mrc")
    assert np.array_equal(sources.case(spec).half1, first.half2)


def test_another_case_in_the_folder_is_refused(sources, blobs):
    spec = ConeCase(replace(blobs, helix=Helix(10, 20, 3)), "wedge", 45)
    case = sources.case(spec)
    assert case.spec == spec
    with pytest.raises(SpisonetError, match="other parameters"):
        sources.case(replace(spec, particle=blobs))


def test_errors_name_the_remedy(sources, blobs, tmp_path, monkeypatch):
    with pytest.raises(SpisonetError, match="--maps"):
        sources.case(ConeCase(replace(blobs, source="other.mrc")))
    with pytest.raises(SpisonetError, match="--models"):
        sources.case(ConeCase(replace(blobs, source="other.pdb")))
    with pytest.raises(SpisonetError, match="blobs needs 36 voxels"):
        sources.case(ConeCase(replace(blobs, box=36)))
    with pytest.raises(SpisonetError, match="shape cube"):
        sources.case(ConeCase(blobs, "cube"))
    with pytest.raises(SpisonetError, match=r"case\.json"):
        load_case(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SpisonetError, match="relion_project is not on PATH"):
        sources.case(ParticleCase(blobs, n_particles=10))
    assert list((sources.cases).iterdir()) == []


def test_sampling_of_top_views_is_empty_along_the_axis():
    views = draw_views("top", 1000, 5, np.random.default_rng(0))
    sampling = sampling_of_views(views, BOX)
    assert sampling.shape == (BOX, BOX, BOX // 2 + 1)
    assert sampling[10, 0, 0] == 0  # along z
    assert sampling[0, 0, 10] > 2  # along x
    even = sampling_of_views(draw_views("even", 5000, 0, np.random.default_rng(0)), BOX)
    assert even[1:].mean() == pytest.approx(1, abs=0.05)
    assert even.min() > 0.5


@pytest.mark.parametrize("kind", VIEWS)
def test_views_have_their_distribution(kind):
    views = draw_views(kind, 4000, 5, np.random.default_rng(0))
    assert np.linalg.norm(views, axis=1) == pytest.approx(np.ones(4000))
    x, y, z = (views**2).mean(axis=0)
    expected = {"top": (0, 0, 1), "side": (1, 0, 0), "ring": (0.5, 0.5, 0), "even": (1 / 3,) * 3}
    assert (x, y, z) == pytest.approx(expected.get(kind, (0.3, 0, 0.7)), abs=0.03)


def test_a_filament_has_its_subunits(tmp_path):
    path = tmp_path / "helix.cif"
    write_helix(path)
    single, filament = (
        model_density(path, BOX, 5.0, 10.0, "mass", helix)
        for helix in (None, Helix(rise_angstrom=40, twist_degrees=90, n_subunits=3))
    )
    assert filament.sum() == pytest.approx(3 * single.sum(), rel=0.01)
    assert np.argwhere(filament > 0.1 * filament.max())[:, 0].max() > 8 + BOX // 2


@pytest.mark.relion
def test_relion_reconstructs_particles(sources, blobs):
    spec = ParticleCase(blobs, "top", noise=1.0, pose_error_degrees=2.0, n_particles=120)
    case = sources.case(spec)
    assert {path.name for path in case.folder.iterdir()} == {
        *("case.json", "particles.star", "truth.mrc", "half1.mrc", "half2.mrc", "mask.mrc"),
        *("truth_mask.mrc", "sampling.mrc"),
    }
    assert case.spec == spec
    # RELION's conventions of poses are those of the views: the half maps show the truth.
    assert score_map(case, case.average).fsc["good"] > 0.85  # 0.93 with RELION 3.1, 0.89 with RELION 5
    assert 2 * VOXEL_SIZE <= case.resolution_angstrom < 20
    fractions = zone_fractions(case)
    assert 0.2 < fractions["empty"] < 0.6
    assert sum(fractions[zone] for zone in ("empty", "weak", "good")) == pytest.approx(1)
    orientations = read_particle_orientations(case.folder / "particles.star")
    assert np.abs(view_directions(orientations.rotations)[:, 2]).mean() > 0.9
    assert sorted(orientations.random_subset) == [1] * 60 + [2] * 60


@pytest.mark.relion
def test_refined_poses_have_their_errors(sources, blobs):
    particles = {"noise": 1.0, "n_particles": 200, "pose_error_degrees": 3.0}

    def views(**errors: float) -> np.ndarray:
        case = sources.case(ParticleCase(blobs, "top", spread_degrees=1, **(particles | errors)))
        return view_directions(read_particle_orientations(case.folder / "particles.star").rotations)

    def tilts(directions: np.ndarray) -> np.ndarray:
        return np.degrees(np.arccos(directions[:, 2]))

    assert np.sqrt((tilts(views()) ** 2).mean()) == pytest.approx(3.0 * (2 / 3) ** 0.5, abs=1)
    assert tilts(views(drift_degrees=20.0)).mean() == pytest.approx(20, abs=3)


def test_relions_euler_angles_are_those_of_the_poses():
    angles = np.random.default_rng(0).uniform(1, 179, (5, 3))
    pose = Rotation.from_euler("ZYZ", angles, degrees=True)
    assert pose.as_matrix().transpose(0, 2, 1) == pytest.approx(relion_rotation_matrices(*angles.T))


def test_a_case_folder_holds_centred_sampling(cone_case):
    cube = read_volume(cone_case.folder / "sampling.mrc").data
    centre = BOX // 2
    assert cube[centre, centre, centre + 5] == 1
    assert cube[centre + 5, centre, centre] == 0
