"""Panel of the plugin: maps before and after, what is inferred, resolution by direction, boundaries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from spisonet.errors import SpisonetError
from spisonet.geometry.sphere import geodesic_sphere
from spisonet.integrations.napari.reading import AFTER, BEFORE, INFERRED, UNIT, run_layers
from spisonet.io.hosts import NAPARI
from spisonet.io.imod import is_own_model, write_contours
from spisonet.io.json_files import read_json_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BOUNDARY, SPHERE = "boundary", "resolution by direction"
MODEL_SUFFIX = ".mod"
SPHERE_FRACTION = 0.5  # radius, of the box


class SpisonetPanel(QWidget):
    """Dock widget; every action is also a method, which scripts can call.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer, which napari passes by this name.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        NAPARI.require()  # names a version that was not tested
        self.viewer = napari_viewer
        self.message = QLabel("Open the folder of a run, or a tomogram.")
        self.message.setWordWrap(True)
        self.show_after = QCheckBox("After the correction")
        self.show_after.setChecked(True)
        self.show_after.toggled.connect(self.switch)
        self.show_inferred = QCheckBox("Colour by inferred fraction")
        self.show_inferred.toggled.connect(self.colour_by_inferred)
        layout = QVBoxLayout(self)
        for text, action in (
            ("Open folder of a run...", self._choose_run),
            ("Resolution by direction (FSC3D.json)...", self._choose_fsc3d),
            ("Draw a boundary", self.draw_boundary),
            ("Save the boundary...", self._choose_boundary),
        ):
            button = QPushButton(text)
            button.clicked.connect(self._reporting(action))
            layout.addWidget(button)
        for widget in (self.show_after, self.show_inferred, self.message):
            layout.addWidget(widget)
        layout.addStretch()

    def open_run(self, folder: Path) -> None:
        """Add the layers of a finished run.

        Raises
        ------
        SpisonetError
            If the folder is not one.
        """
        for data, options, _ in run_layers(folder):
            self.viewer.add_image(data, **options)
        self.switch(self.show_after.isChecked())
        self.viewer.layers.selection.active = self.viewer.layers[AFTER]
        self.message.setText(f"{folder}: {AFTER} is the corrected map, in the contrast of {BEFORE}.")

    def switch(self, after: bool) -> None:
        """Show the map after the correction, or before it."""
        for name, visible in ((BEFORE, not after), (AFTER, after)):
            if name in self.viewer.layers:
                self.viewer.layers[name].visible = visible

    def colour_by_inferred(self, on: bool) -> None:
        """Lay the inferred fraction over the map: blue is measured, red is inferred."""
        if INFERRED in self.viewer.layers:
            self.viewer.layers[INFERRED].visible = on
        elif on:
            self.message.setText("The run has no inferred_fraction.mrc: repeat its report.")

    def show_directions(self, record: Path) -> None:
        """Add a sphere coloured by the resolution in each direction, from the JSON file of ``fsc3d``.

        Raises
        ------
        SpisonetError
            If the file is not of ``fsc3d``.
        """
        found = read_json_object(record)
        if found.get("command") != "fsc3d":
            raise SpisonetError(f"{record} was not written by fsc3d; give its FSC3D.json.")
        surface, angstrom = direction_sphere(found)
        box = float(found["box_voxels"]) * float(found["voxel_size_angstrom"])
        vertices, triangles, values = surface
        self.viewer.add_surface(
            (vertices * box * SPHERE_FRACTION + box / 2, triangles, values),
            name=SPHERE,
            colormap="viridis",
            shading="none",
            units=(UNIT,) * 3,
        )
        self.viewer.dims.ndisplay = 3
        self.message.setText(
            f"Resolution by direction: {angstrom[0]:.2f} to {angstrom[1]:.2f} Å (FSC 0.143)."
        )

    def draw_boundary(self) -> None:
        """Add an empty layer of polygons on the selected tomogram.

        Raises
        ------
        SpisonetError
            If no volume is open.
        """
        like = self._tomogram()
        self.viewer.dims.ndisplay = 2
        layer = self.viewer.add_shapes(
            ndim=3, name=BOUNDARY, scale=like.scale, translate=like.translate, units=like.units,
            face_color="transparent", edge_color="lime", edge_width=1,
        )  # fmt: skip
        layer.mode = "add_polygon"
        self.message.setText("Draw the outline of the specimen in two or more slices, then save it.")

    def save_boundary(self, path: Path) -> None:
        """Write the polygons as an IMOD model, which ``isonet.py make_mask --mask_boundary`` reads.

        Raises
        ------
        SpisonetError
            If there is no polygon, or the file is a model of another program.
        """
        if BOUNDARY not in self.viewer.layers or not len(self.viewer.layers[BOUNDARY].data):
            raise SpisonetError("There is no boundary to save; draw a polygon first.")
        if path.suffix != MODEL_SUFFIX:
            raise SpisonetError(f"{path} does not end in {MODEL_SUFFIX}.")
        if path.is_file() and not is_own_model(path):
            raise SpisonetError(f"{path} was written by another program and is not overwritten.")
        contours = [np.asarray(points)[:, ::-1].tolist() for points in self.viewer.layers[BOUNDARY].data]
        z, y, x = self._tomogram().data.shape
        write_contours(path, contours, (z, y, x))
        command = f"isonet.py make_mask TOMOGRAMS.star --mask_boundary {path}"
        self.message.setText(f"Written: {path}. Use it with: {command}")

    def _tomogram(self) -> Any:
        """Return the selected image layer or, without one, the last."""
        selected = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if _is_volume(layer)]
        if not images:
            raise SpisonetError("No tomogram is open.")
        return selected if selected in images else images[-1]

    def _choose_run(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder of a run")
        if name:
            self.open_run(Path(name))

    def _choose_fsc3d(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "JSON file of fsc3d", "", "JSON (*.json)")
        if name:
            self.show_directions(Path(name))

    def _choose_boundary(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "IMOD model", f"boundary{MODEL_SUFFIX}")
        if name:
            self.save_boundary(Path(name))

    def _reporting(self, action: Callable[[], None]) -> Callable[[], None]:
        """Return an action that shows an error as a sentence in the panel."""

        def run() -> None:
            try:
                action()
            except SpisonetError as error:
                self.message.setText(str(error))

        return run


def direction_sphere(
    record: dict[str, Any],
) -> tuple[tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]], tuple[float, float]]:
    """Return a unit sphere ``(z, y, x)`` with 1 / resolution at every vertex, and the range in Å.

    Parameters
    ----------
    record : dict
        Content of ``FSC3D.json``; a direction that does not fall below 0.143 has the finest resolution.

    Returns
    -------
    tuple
        Vertices, triangles and values in 1/Å.
    tuple of float
        Best and worst resolution.
    """
    sphere = geodesic_sphere()
    finest = float(record["finest_directional_resolution_angstrom"])
    angstrom = [
        finest if value is None else value for value in record["directions"]["resolution_0143_angstrom"]
    ]
    values = 1.0 / np.asarray(angstrom, dtype=np.float64)
    return (sphere.vertices_zyx, sphere.triangles, np.tile(values, 2)), (min(angstrom), max(angstrom))


def _is_volume(layer: Any) -> bool:
    return type(layer).__name__ == "Image" and layer.ndim == 3
