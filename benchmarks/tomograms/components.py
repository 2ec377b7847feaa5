"""What of a corrected tomogram agrees with the truth in the missing wedge: vesicles, or molecules.

    python benchmarks/tomograms/components.py OUT/seed3 OUT/seed3/out_.../corrected_t.mrc [--tilts -60 60]

The folder is one of ``run.py``. Prints the fraction of the true power in the wedge that belongs to vesicles,
the score ``missing`` of a tomogram that is perfect except for the wedge of its vesicles or of its molecules,
and the FSC inside the wedge of either component of every given tomogram, by resolution.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
from scipy import ndimage
from score import EDGE_DEGREES, score
from simulate import VOXEL_SIZE

from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.wedges import measured_by_tilts

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESOLUTIONS = (250.0, 125.0, 71.0, 50.0, 37.0, 30.0)  # Å
OCCUPIED = 0.15  # of the densest voxel
SMALLEST_VESICLE = 8000  # voxels; molecules are smaller
SOFT_EDGE = 4.0  # voxels


def main() -> None:
    """Print the figures of a scene and of corrected tomograms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path, help="folder with truth.npy")
    parser.add_argument("tomograms", type=Path, nargs="*")
    parser.add_argument("--tilts", type=float, nargs=2, default=(-60.0, 60.0))
    args = parser.parse_args()
    truth, tilts = np.load(args.scene / "truth.npy"), (args.tilts[0], args.tilts[1])
    masks = component_masks(truth)
    shells = wedge_shells(truth.shape, tilts)
    print(f"| | {' | '.join(f'{a:.0f} to {b:.0f} Å' for a, b in itertools.pairwise(RESOLUTIONS))} |")
    print("|---" * len(RESOLUTIONS) + "|")
    spectra = {name: rfft3(truth * mask) for name, mask in masks.items()}
    power = {name: [float((np.abs(s[q]) ** 2).sum()) for q in shells] for name, s in spectra.items()}
    shares = [v / (v + m) for v, m in zip(power["vesicles"], power["molecules"], strict=True)]
    print(f"| power of the vesicles | {' | '.join(f'{share:.2f}' for share in shares)} |")
    for path in args.tomograms:
        tomogram = mrcfile.read(path)
        for name, mask in masks.items():
            corrected = rfft3((tomogram * mask).astype(np.float32))
            values = [_correlation(spectra[name][q], corrected[q]) for q in shells]
            print(f"| {path.parent.name}, {name} | {' | '.join(f'{value:.2f}' for value in values)} |")
    for name in masks:
        bound = score(without_wedge(truth, masks[name], tilts), truth, VOXEL_SIZE, tilts)["missing"]
        print(f"\nMissing, if all is perfect but the wedge of the {name}: {bound:.3f}")


def component_masks(truth: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return soft masks of the vesicles, and of all other voxels.

    Parameters
    ----------
    truth : ndarray
        ``(z, y, x)``, density dark.
    """
    labels, n = ndimage.label(truth < OCCUPIED * truth.min())
    sizes = ndimage.sum_labels(np.ones_like(truth), labels, range(1, n + 1))
    inside = np.isin(labels, 1 + np.flatnonzero(sizes > SMALLEST_VESICLE))
    distance = ndimage.distance_transform_edt(~inside)
    vesicles = np.clip(1.0 - distance / SOFT_EDGE, 0, 1).astype(np.float32)
    return {"vesicles": vesicles, "molecules": 1 - vesicles}


def without_wedge(
    truth: NDArray[np.float32], mask: NDArray[np.float32], tilt_range_degrees: tuple[float, float]
) -> NDArray[np.float32]:
    """Remove the missing wedge of a masked component from the truth."""
    component = rfft3(truth * mask) * _wedge(truth.shape, tilt_range_degrees)
    return (truth - irfft3(component, truth.shape)).astype(np.float32)


def wedge_shells(shape: tuple[int, ...], tilt_range_degrees: tuple[float, float]) -> list[NDArray[np.bool_]]:
    """Return the coefficients in the wedge between successive `RESOLUTIONS`."""
    lowest, highest = tilt_range_degrees
    wedge = _wedge(shape, (lowest - EDGE_DEGREES, highest + EDGE_DEGREES))
    radius = np.sqrt(sum(axis**2 for axis in _frequencies(shape)))
    edges = [VOXEL_SIZE / resolution for resolution in RESOLUTIONS]
    return [wedge & (radius >= low) & (radius < high) for low, high in itertools.pairwise(edges)]


def _wedge(shape: tuple[int, ...], tilt_range_degrees: tuple[float, float]) -> NDArray[np.bool_]:
    z, _, x = _frequencies(shape)
    return ~measured_by_tilts(x, z, tilt_range_degrees)


def _frequencies(shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    axes = (np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]))
    return list(np.meshgrid(*axes, indexing="ij"))


def _correlation(first: NDArray[np.complex64], second: NDArray[np.complex64]) -> float:
    return float(np.vdot(first, second).real / (np.linalg.norm(first) * np.linalg.norm(second)))


if __name__ == "__main__":
    main()
