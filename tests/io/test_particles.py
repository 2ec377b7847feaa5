"""Particle orientations in every form that RELION and cryoSPARC write them."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spisonet.errors import SpisonetError
from spisonet.geometry.rotations import random_rotations, relion_rotation_matrices, view_directions
from spisonet.io.cryosparc_tables import read_cryosparc_fields
from spisonet.io.particles import is_helical_refinement, read_particle_orientations

ROT, TILT, PSI = np.array([[0.0, 30, -120], [10, 90, 175], [5, -60, 33]])
EXPECTED = relion_rotation_matrices(ROT, TILT, PSI)
ANGLES = {"rlnAngleRot": ROT, "rlnAngleTilt": TILT, "rlnAnglePsi": PSI}
IMAGES = {"rlnImageName": [f"{i}@stack.mrcs" for i in (1, 2, 3)]}
# As RELION 3.0 wrote it: one table without a name, the pixel size from the detector.
RELION_30 = """
data_

loop_
_rlnMicrographName #1
_rlnImageName #2
_rlnAngleRot #3
_rlnAngleTilt #4
_rlnAnglePsi #5
_rlnMagnification #6
_rlnDetectorPixelSize #7
_rlnRandomSubset #8
mic1.mrc  000001@a.mrcs  0.000000  10.000000    5.000000  50000.000000  7.000000  1
mic1.mrc  000002@a.mrcs 30.000000  90.000000  -60.000000  50000.000000  7.000000  2
mic2.mrc  000003@a.mrcs -120.00000 175.000000  33.000000  50000.000000  7.000000  2
"""


def write_star(path, particles, optics=None):
    blocks = {"particles": pd.DataFrame(particles)}
    if optics is not None:
        blocks = {"optics": pd.DataFrame(optics), **blocks}
    starfile.write(blocks, path, overwrite=True)
    return path


def optics(pixel_sizes=(1.31,), size=256):
    count = len(pixel_sizes)
    return {
        "rlnOpticsGroup": range(1, count + 1),
        "rlnOpticsGroupName": [f"opticsGroup{i}" for i in range(count)],
        "rlnImagePixelSize": pixel_sizes,
        "rlnImageSize": [size] * count,
        "rlnImageDimensionality": [2] * count,
    }


def test_relion_30(tmp_path):
    (tmp_path / "p.star").write_text(RELION_30)
    particles = read_particle_orientations(tmp_path / "p.star")
    np.testing.assert_allclose(particles.rotations, EXPECTED, atol=1e-9)
    assert particles.pixel_size_angstrom == pytest.approx(1.4)
    assert (particles.box, particles.is_subtomogram) == (None, False)
    np.testing.assert_array_equal(particles.random_subset, [1, 2, 2])


def test_relion_31_and_later(tmp_path):
    path = write_star(tmp_path / "p.star", {**IMAGES, **ANGLES, "rlnOpticsGroup": 1}, optics())
    particles = read_particle_orientations(path)
    np.testing.assert_allclose(particles.rotations, EXPECTED, atol=1e-5)
    assert (particles.pixel_size_angstrom, particles.box, len(particles)) == (1.31, 256, 3)
    assert particles.random_subset is None
    assert not particles.is_subtomogram


def test_optics_groups_of_several_pixel_sizes(tmp_path):
    path = write_star(tmp_path / "p.star", {**IMAGES, **ANGLES}, optics((1.31, 1.05)))
    particles = read_particle_orientations(path)
    assert particles.pixel_size_angstrom is None
    assert particles.box == 256
    message = r"p.star has several pixel sizes in column rlnImagePixelSize \(1.05, 1.31 Å\); use one"
    with pytest.raises(SpisonetError, match=message):
        particles.pixel_sizes.require_common(path, "use one")
    # Groups without particles, as they remain after a selection, do not count.
    one = write_star(tmp_path / "q.star", {**IMAGES, **ANGLES, "rlnOpticsGroup": 2}, optics((1.31, 1.05)))
    assert read_particle_orientations(one).pixel_size_angstrom == 1.05


@pytest.mark.parametrize("sizes", [(0.0,), (-1.0, 1.0)])
def test_pixel_sizes_that_cannot_be(tmp_path, sizes):
    path = write_star(tmp_path / "p.star", {**IMAGES, **ANGLES}, optics(sizes))
    with pytest.raises(SpisonetError, match=r"rlnImagePixelSize is .* in row 1; the valid range"):
        read_particle_orientations(path).pixel_sizes.require_common(path, "correct it")
    path = write_star(tmp_path / "p.star", {**IMAGES, **ANGLES})
    with pytest.raises(SpisonetError, match="gives no pixel size"):
        read_particle_orientations(path).pixel_sizes.require_common(path, "correct it")


def test_one_particle(tmp_path):
    one = {name: values[:1] for name, values in ANGLES.items()}
    np.testing.assert_allclose(
        read_particle_orientations(write_star(tmp_path / "p.star", one)).rotations, EXPECTED[:1], atol=1e-5
    )


def test_relion_5_subtomograms(tmp_path):
    box_angles = np.array([20.0, 40, 60])
    names = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
    columns = {name: [angle] * 3 for name, angle in zip(names, box_angles, strict=True)}
    path = write_star(tmp_path / "p.star", {"rlnTomoName": ["TS_01"] * 3, **ANGLES, **columns}, optics())
    particles = read_particle_orientations(path)
    assert particles.is_subtomogram
    expected = relion_rotation_matrices(*box_angles)[0] @ EXPECTED
    np.testing.assert_allclose(particles.rotations, expected, atol=1e-5)


@pytest.mark.parametrize("column", ["rlnTomoParticleName", "rlnCoordinateZ", "rlnOriginZAngst", "rlnOriginZ"])
def test_other_signs_of_subtomograms(tmp_path, column):
    path = write_star(tmp_path / "p.star", {**ANGLES, column: [1.0, 2.0, 3.0]})
    assert read_particle_orientations(path).is_subtomogram


def write_cryosparc(path, poses, pixel_sizes=1.2, split=0):
    table = np.zeros(
        len(poses),
        dtype=[
            ("uid", "<u8"),
            ("blob/path", "S20"),
            ("blob/shape", "<u4", (2,)),
            ("blob/psize_A", "<f4"),
            ("alignments3D/split", "<u4"),
            ("alignments3D/shift", "<f4", (2,)),
            ("alignments3D/pose", "<f4", (3,)),
        ],
    )
    table["blob/shape"] = 300
    table["blob/psize_A"] = pixel_sizes
    table["alignments3D/split"] = split
    table["alignments3D/pose"] = poses
    with path.open("wb") as file:
        np.save(file, table)
    return path


def test_a_cryosparc_table_of_many_fields_is_read(tmp_path):
    few = np.load(write_cryosparc(tmp_path / "p.cs", [[0, np.pi / 2, 0]] * 2))
    many = np.zeros(
        2, [*few.dtype.descr, *((f"alignments_class_{i:04d}/class_posterior", "<f4") for i in range(400))]
    )
    for name in few.dtype.names:
        many[name] = few[name]
    with (tmp_path / "p.cs").open("wb") as file:
        np.lib.format.write_array(file, many)
    assert len(read_particle_orientations(tmp_path / "p.cs")) == 2


GOLDEN = Path(__file__).parents[1] / "goldens" / "cryosparc"


def test_a_table_and_a_group_written_by_cryosparcs_client_agree():
    particles = read_particle_orientations(GOLDEN / "particles.cs")
    np.testing.assert_allclose(particles.rotations[:1], relion_rotation_matrices(0, 90, 0), atol=1e-6)
    assert particles.box == 128
    assert particles.pixel_size_angstrom == 1.25
    np.testing.assert_array_equal(particles.random_subset, [1, 2, 1, 2])
    group = read_particle_orientations(GOLDEN / "J12_particles.csg")
    np.testing.assert_array_equal(group.rotations, particles.rotations)
    assert (group.box, group.pixel_size_angstrom) == (128, 1.25)  # from the passthrough table


def test_the_tables_of_a_group_are_joined_by_uid(tmp_path):
    fields = read_cryosparc_fields(GOLDEN / "J12_particles.csg")
    np.testing.assert_array_equal(fields["ctf/df1_A"], [0, 1000, 2000, 3000])  # the defocus counts the rows
    copied = shutil.copytree(GOLDEN, tmp_path / "copy")
    few = np.load(copied / "J12_passthrough_particles.cs")[1:]
    with (copied / "J12_passthrough_particles.cs").open("wb") as file:
        np.save(file, few)
    with pytest.raises(
        SpisonetError, match=r"passthrough_particles.cs does not list all particles of .*J12_part"
    ):
        read_cryosparc_fields(copied / "J12_particles.csg")
    (copied / "J12_passthrough_particles.cs").unlink()
    with pytest.raises(SpisonetError, match=r"J12_particles.csg lists, does not exist; copy it there"):
        read_cryosparc_fields(copied / "J12_particles.csg")


@pytest.mark.skipif(find_spec("cryosparc") is not None, reason="cryosparc-tools is installed")
@pytest.mark.parametrize("first", [b"\x94", b"\x95"])  # of versions 4 and 5 of the client
def test_a_compressed_stream_names_what_reads_it(tmp_path, first):
    content = (GOLDEN / "particles_stream.cs").read_bytes()
    (tmp_path / "p.cs").write_bytes(first + content[1:])
    with pytest.raises(SpisonetError, match=r"pip install 'spisonet\[cryosparc\]'\), or use Export"):
        read_particle_orientations(tmp_path / "p.cs")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"results: {}\n", "p.csg lists no .cs file"),
        (b"results:\n  blob:\n    metafile: '>none.cs'\n", "none.cs, which"),
    ],
)
def test_groups_without_tables_are_named(tmp_path, content, part):
    (tmp_path / "p.csg").write_bytes(content)
    with pytest.raises(SpisonetError, match=re.escape(part)):
        read_particle_orientations(tmp_path / "p.csg")


def cryosparc_poses(rotations):
    """Poses whose RELION matrices are `rotations`; pyem: ``rot2euler(expmap(pose))``, expmap transposed."""
    return Rotation.from_matrix(rotations).inv().as_rotvec()


def test_cryosparc(tmp_path):
    rotations = random_rotations(50, np.random.default_rng(0))
    path = write_cryosparc(tmp_path / "p.cs", cryosparc_poses(rotations), split=np.arange(50) % 2)
    particles = read_particle_orientations(path)
    np.testing.assert_allclose(particles.rotations, rotations, atol=1e-5)
    assert particles.pixel_size_angstrom == pytest.approx(1.2)
    assert particles.box == 300
    np.testing.assert_array_equal(particles.random_subset, np.arange(50) % 2 + 1)


def test_a_known_cryosparc_pose(tmp_path):
    # A turn of the image by +90 degrees about y sees the map along x (RELION: rot 0, tilt 90, psi 0).
    path = write_cryosparc(tmp_path / "p.cs", [[0, np.pi / 2, 0]])
    particles = read_particle_orientations(path)
    np.testing.assert_allclose(particles.rotations, relion_rotation_matrices(0, 90, 0), atol=1e-6)
    np.testing.assert_allclose(view_directions(particles.rotations), [[1, 0, 0]], atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_both_programs_formats_agree(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("both")
    rotations = random_rotations(4, np.random.default_rng(seed))
    rot, tilt, psi = Rotation.from_matrix(rotations).inv().as_euler("ZYZ", degrees=True).T
    star = write_star(folder / "p.star", {"rlnAngleRot": rot, "rlnAngleTilt": tilt, "rlnAnglePsi": psi})
    cs = write_cryosparc(folder / "p.cs", cryosparc_poses(rotations))
    np.testing.assert_allclose(
        read_particle_orientations(star).rotations, read_particle_orientations(cs).rotations, atol=1e-5
    )


def bad_files(folder):
    """Write invalid files; return their names, each with a part of the error message."""
    (folder / "empty.star").write_text("")
    (folder / "noise.star").write_bytes(bytes(range(256)) * 20)
    (folder / "loopless.star").write_text("data_general\n\n_rlnFinalResolution 3.2\n")
    (folder / "norows.star").write_text(RELION_30.split("mic1.mrc", maxsplit=1)[0])
    write_star(folder / "picks.star", {"rlnCoordinateX": [1.0, 2.0], "rlnCoordinateY": [1.0, 2.0]})
    write_star(folder / "nopsi.star", {"rlnAngleRot": ROT, "rlnAngleTilt": TILT})
    write_star(folder / "words.star", {**ANGLES, "rlnAngleRot": ["a", "b", "c"]})
    write_star(folder / "nan.star", {**ANGLES, "rlnAngleTilt": [0.0, np.nan, 1.0]})
    write_star(folder / "tilts.star", {**ANGLES, "rlnTomoVisibleFrames": ["[1,0]", "[1,a]", "[1,1]"]})
    (folder / "noise.cs").write_bytes(bytes(range(256)) * 20)
    np.save(folder / "plain.npy", np.zeros(3))
    (folder / "plain.npy").rename(folder / "plain.cs")
    with (folder / "pickle.cs").open("wb") as file:
        np.save(file, np.array([{"pose": 1}], dtype=object), allow_pickle=True)
    write_cryosparc(folder / "none.cs", np.zeros((0, 3)))
    write_cryosparc(folder / "nanpose.cs", [[np.nan, 0, 0]])
    return {
        "missing.star": "does not exist",
        "empty.star": "contains no table",
        "noise.star": "STAR file",
        "loopless.star": "contains no table",
        "norows.star": "no particles",
        "picks.star": "no column rlnAngleRot",
        "nopsi.star": "no column rlnAnglePsi",
        "words.star": "a value in column rlnAngleRot that is not a number",
        "nan.star": "rlnAngleTilt is nan in row",
        "tilts.star": "invalid value in column rlnTomoVisibleFrames",
        "noise.cs": "not a readable cryoSPARC",
        "plain.cs": "no field alignments3D/pose",
        "pickle.cs": "not a readable cryoSPARC",
        "none.cs": "no particles",
        "nanpose.cs": "unreadable rotation vectors",
    }


def test_bad_files_are_refused_in_one_sentence(tmp_path):
    for name, message in bad_files(tmp_path).items():
        with pytest.raises(SpisonetError, match=message) as caught:
            read_particle_orientations(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "label", "expected"),
    [
        ("--o Refine3D/job005/run --auto_refine", "rlnDoHelicalRefine 0", False),
        ("--o Refine3D/job005/run --auto_refine", "rlnDoHelicalRefine 1", True),
        ("--o Refine3D/job005/run --auto_refine --helix", "rlnDoAutoRefine 1", True),
    ],
)
def test_helical_refinements_are_known_by_their_optimiser_file(tmp_path, header, label, expected):
    star = tmp_path / "run_ct7_data.star"
    assert not is_helical_refinement(star)
    (tmp_path / "run_ct7_optimiser.star").write_text(
        f"# RELION optimiser; version 5.0.1\n# {header}\n\ndata_optimiser_general\n\n_{label}\n\n"
    )
    assert is_helical_refinement(star) is expected
