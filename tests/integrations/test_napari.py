"""The napari plugin: layers without napari, and the real viewer where it is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import spisonet_launcher
from spisonet.integrations.napari.reading import contrast_limits, get_reader, run_layers
from spisonet.integrations.napari.writing import write_mask
from spisonet.io.imod import read_contours
from spisonet.io.mrc import Volume, read_volume, write_volume
from tests.integrations.plugin_host import require_plugin_host

NOT_INSTALLED = "napari is not installed (extra napari)"
MANIFEST = Path(spisonet_launcher.__file__).parent / "spisonet_plugins" / "napari.yaml"


# --- layers --------------------------------------------------------------------------------------------


def test_a_volume_keeps_voxel_size_unit_and_position(deconvolved_run):
    path = str(deconvolved_run.case.half1)
    ((data, options, kind),) = get_reader(path)(path)
    assert kind == "image"
    assert options["scale"] == (2.0,) * 3
    assert options["units"] == ("angstrom",) * 3
    assert options["translate"] == (6.0, 4.0, 2.0)  # z, y, x: the start of the header in Å
    np.testing.assert_array_equal(data, read_volume(deconvolved_run.case.half1).data)


def test_a_run_shows_before_and_after_with_one_contrast(deconvolved_run):
    layers = {options["name"]: (data, options) for data, options, _ in run_layers(deconvolved_run.folder)}
    visible = {name for name, (_, options) in layers.items() if options.get("visible", True)}
    assert visible == {"before", "after"}
    assert {"half map 1", "half map 2", "inferred fraction", "mask"} <= set(layers)
    assert layers["before"][1]["contrast_limits"] == layers["after"][1]["contrast_limits"]
    after = read_volume(deconvolved_run.folder / "corrected_full_filtered.mrc")
    np.testing.assert_array_equal(layers["after"][0], after.data)
    assert layers["inferred fraction"][1]["contrast_limits"] == (0.0, 1.0)


def test_only_volumes_and_runs_are_read(tmp_path, deconvolved_run):
    assert get_reader(str(tmp_path)) is None
    assert get_reader("stack.mrcs") is None
    assert get_reader(["a.mrc", "b.txt"]) is None
    assert get_reader(str(deconvolved_run.folder)) is not None


def test_a_damaged_volume_or_run_is_one_sentence(tmp_path):
    (tmp_path / "map.mrc").write_bytes(b"none")
    with pytest.raises(OSError, match=r"map\.mrc"):
        get_reader(str(tmp_path / "map.mrc"))(str(tmp_path / "map.mrc"))
    (tmp_path / "job.json").write_text(json.dumps({"command": "fsc3d"}))
    with pytest.raises(OSError, match=r"does not contain a finished reconstruct run|damaged"):
        get_reader(str(tmp_path))(str(tmp_path))


def test_a_constant_volume_has_a_contrast():
    assert contrast_limits(np.zeros((4, 4, 4), np.float32)) == (0.0, 1.0)


# --- masks ---------------------------------------------------------------------------------------------


def test_labels_become_a_soft_mask(tmp_path):
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[8:16, 8:16, 8:16] = 3
    path = tmp_path / "mask.mrc"
    attributes = {"scale": (2.5, 2.5, 2.5), "translate": (3.0, 2.0, 1.0)}
    assert write_mask(str(path), labels, attributes) == [str(path)]
    mask = read_volume(path)
    assert (mask.voxel_size_angstrom, mask.origin_angstrom) == (2.5, (1.0, 2.0, 3.0))
    assert (mask.data[labels > 0] == 1).all()
    profile = mask.data[12, 12, 15:]
    assert profile[0] == 1
    assert (np.diff(profile[:6]) < 0).all()
    assert (profile[6:] == 0).all()


@pytest.mark.parametrize(
    ("labels", "scale", "part"),
    [
        (np.zeros((4, 4, 4), int), (1.0,) * 3, "has no labels"),
        (np.ones((4, 4), int), (1.0,) * 2, "have 2 dimensions"),
        (np.ones((4, 4, 4), int), (1.0, 1.0, 2.0), "not cubic"),
    ],
)
def test_labels_that_are_no_mask_are_refused(tmp_path, labels, scale, part):
    with pytest.raises(OSError, match=part):
        write_mask(str(tmp_path / "mask.mrc"), labels, {"scale": scale})
    assert not (tmp_path / "mask.mrc").exists()


# --- the viewer ----------------------------------------------------------------------------------------


def test_the_manifest_is_valid():
    npe2 = require_plugin_host("npe2", NOT_INSTALLED)
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    patterns = manifest.contributions.readers[0].filename_patterns
    assert {pattern.removeprefix("*") for pattern in patterns} >= {".mrc", ".map", ".rec"}


@pytest.fixture
def viewer():
    napari = require_plugin_host("napari", NOT_INSTALLED)
    viewer = napari.Viewer(show=False)
    yield viewer
    viewer.close()


@pytest.fixture
def panel(viewer):
    from npe2 import PluginManager

    if "spisonet" not in PluginManager.instance():
        pytest.skip("spisonet is not installed with its entry points")
    _, widget = viewer.window.add_plugin_dock_widget("spisonet", "Maps before and after")
    return widget


@pytest.mark.slow
def test_a_run_is_opened_and_switched(viewer, panel, deconvolved_run):
    panel.open_run(deconvolved_run.folder)
    layers = viewer.layers
    assert (layers["after"].visible, layers["before"].visible) == (True, False)
    panel.show_after.setChecked(False)
    assert (layers["after"].visible, layers["before"].visible) == (False, True)
    panel.show_inferred.setChecked(True)
    assert layers["inferred fraction"].visible


@pytest.mark.slow
def test_a_boundary_is_drawn_and_saved(viewer, panel, tmp_path):
    write_volume(tmp_path / "tomogram.mrc", Volume(np.ones((8, 16, 16), np.float32), 10.0))
    viewer.open(str(tmp_path / "tomogram.mrc"), plugin="spisonet")
    panel.draw_boundary()
    polygon = np.array([[3, 2, 2], [3, 2, 12], [3, 12, 12]])
    viewer.layers["boundary"].add_polygons([polygon])
    panel.save_boundary(tmp_path / "boundary.mod")
    (contour,) = read_contours(tmp_path / "boundary.mod")
    np.testing.assert_allclose(contour, polygon[:, ::-1])


@pytest.mark.slow
def test_the_resolution_by_direction_is_a_sphere(viewer, panel, tmp_path):
    from spisonet.geometry.sphere import geodesic_sphere

    n = len(geodesic_sphere().axes_zyx)
    record = {
        "command": "fsc3d",
        "box_voxels": 24,
        "voxel_size_angstrom": 2.0,
        "finest_directional_resolution_angstrom": 4.0,
        "directions": {"resolution_0143_angstrom": [None, *np.linspace(5, 10, n - 1)]},
    }
    (tmp_path / "FSC3D.json").write_text(json.dumps(record))
    panel.show_directions(tmp_path / "FSC3D.json")
    vertices, _, values = viewer.layers["resolution by direction"].data
    assert values.max() == pytest.approx(1 / 4)
    np.testing.assert_allclose(np.linalg.norm(vertices - 24, axis=1), 24, rtol=1e-6)


def test_every_command_of_the_manifest_exists_in_the_plugin():
    names = re.findall(r"python_name: spisonet_plugins\.napari:(\w+)", MANIFEST.read_text(encoding="utf-8"))
    source = MANIFEST.with_name("napari.py").read_text(encoding="utf-8")
    assert len(names) == 4
    assert all(f'"{name}"' in source for name in names)
