"""Tomograms as they are learned from and predicted: checked, filtered, on one grey scale, read in parts."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spisonet.errors import SpisonetError
from spisonet.fourier.filters import RadialCurve
from spisonet.fourier.grids import rfft3
from spisonet.io.tilt_angles import DEFAULT_TILT_RANGE, STEEPEST, find_tilt_file, read_tilt_range
from spisonet.io.tomogram_table import SUBTOMOGRAM
from spisonet.io.tomograms import open_tomogram
from spisonet.tomography.chunks import Chunk, central_crop, read_mirrored, slabs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.tomogram_table import TomogramRow
    from spisonet.io.tomograms import TomogramFile

log = logging.getLogger("spisonet")

N_CENTRES, CENTRES_A_CROP = 50_000, 500
SAMPLE_EDGE = 160  # voxels along each axis of the part that grey scale and noise are measured on
PERCENTILES = (4.0, 96.0)  # of IsoNet
PERCENTILES_APART = 3.5014  # standard deviations, for Gaussian noise
NOISE_SHELLS = 40
TELLING_ASYMMETRY, TELLING_RATIO = 6.0, 1.5  # degrees; of powers
TELLING_BAND = (0.05, 0.4)  # cycles per voxel
CLIP = 10.0  # standard deviations: gold would dominate the loss
DEFAULT_CROPS, CROPS_A_SUBTOMOGRAM = 100, 6  # of IsoNet 0.2
DECONVOLVED = "rlnDeconvTomoName"


@dataclass(frozen=True)
class Tomogram:
    """A tomogram to learn from or to predict.

    Attributes
    ----------
    name : str
        What to call it.
    volumes : tuple of TomogramFile
        Even and odd, or the only one.
    tilt_range_degrees : tuple of float
        First and last tilt in degrees.
    mask : TomogramFile or None
        Non-zero where crops may be centred.
    coordinates : Path or None
        Text file of ``x y z`` in voxels, where crops may be centred instead.
    n_subvolumes : int
        How many crops it gives to an epoch.
    transfer : RadialCurve or None
        Transfer function that a network is to correct.
    mean, deviation : float
        Grey scale: voxels are read as ``(value - mean) / deviation``.
    noise : RadialCurve or None
        Amplitude of the noise of a half on this scale, relative to white noise of unit variance.
    digest : str
        Hash of a part of it.
    """

    name: str
    volumes: tuple[TomogramFile, ...]
    tilt_range_degrees: tuple[float, float]
    mask: TomogramFile | None
    coordinates: Path | None
    n_subvolumes: int
    transfer: RadialCurve | None = None
    mean: float = 0.0
    deviation: float = 1.0
    noise: RadialCurve | None = None
    digest: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        return self.volumes[0].shape

    def read(self, which: int, chunk: Chunk) -> NDArray[np.float32]:
        """Read a chunk of a volume with its surroundings, mirrored beyond the borders, and scaled."""
        values = read_mirrored(self.volumes[which], chunk)
        return (values - np.float32(self.mean)) / np.float32(self.deviation)

    def measured(self) -> Tomogram:
        """Return the same tomogram with grey scale and noise, measured on its central part.

        Raises
        ------
        SpisonetError
            If its voxels cannot be read, or are all alike.
        """
        parts = [central_crop(n, SAMPLE_EDGE) for n in self.shape]
        chunk = Chunk.around((parts[0], parts[1], parts[2]), 0)
        raw = replace(self, mean=0.0, deviation=1.0)
        samples = [raw.read(which, chunk) for which in range(len(self.volumes))]
        low, median, high = np.mean(
            [np.percentile(s, (PERCENTILES[0], 50.0, PERCENTILES[1])) for s in samples], axis=0
        )
        deviation = float(high - low) / PERCENTILES_APART
        if deviation <= 0:
            raise SpisonetError(f"{self.volumes[0].path} holds nothing: its voxels are all alike.")
        if looks_mirrored(samples[0], self.tilt_range_degrees):
            low, high = self.tilt_range_degrees
            log.warning(
                "%s: more power lies outside tilts of %g to %g degrees than inside: "
                "they are rather %g to %g.",
                self.name,
                *(low, high, -high, -low),
            )
        noise = None
        if len(samples) == 2:
            noise = RadialCurve(
                _noise_amplitudes((samples[0] - samples[1]) / deviation, self.tilt_range_degrees)
            )
        digest = hashlib.blake2b(digest_size=12)
        for sample in samples:
            digest.update(sample.tobytes())
        digest.update(repr((self.tilt_range_degrees, self.shape, self.n_subvolumes)).encode())
        return replace(self, mean=float(median), deviation=deviation, noise=noise, digest=digest.hexdigest())


def _noise_amplitudes(
    difference: NDArray[np.float32], tilt_range_degrees: tuple[float, float]
) -> NDArray[np.float32]:
    """Noise of a half, from the difference of both, by spatial frequency outside the missing wedge."""
    n = difference.size
    power = np.abs(rfft3(difference)) ** 2 / (2 * n)
    tilt, radius = _tilt_and_radius(difference.shape)
    seen = (tilt >= tilt_range_degrees[0]) & (tilt <= tilt_range_degrees[1]) & (radius <= 0.5)
    shell = np.minimum((radius * 2 * NOISE_SHELLS).astype(int), NOISE_SHELLS - 1)
    count = np.bincount(shell[seen], minlength=NOISE_SHELLS)
    total = np.bincount(shell[seen], weights=power[seen], minlength=NOISE_SHELLS)
    centres = (np.arange(NOISE_SHELLS) + 0.5)[count > 0]
    mean = total[count > 0] / count[count > 0]
    steps = np.linspace(0, NOISE_SHELLS, NOISE_SHELLS + 1)
    return np.sqrt(np.interp(steps, centres, mean)).astype(np.float32)


def looks_mirrored(values: NDArray[np.float32], tilt_range_degrees: tuple[float, float]) -> bool:
    """Whether a part of a tomogram has more power where its tilt range says that nothing was measured.

    That is compared with the power where only a range of the opposite sign says so; ranges that are about
    symmetric tell nothing.
    """
    low, high = tilt_range_degrees
    if abs(low + high) < TELLING_ASYMMETRY:
        return False
    power = np.abs(rfft3(values - values.mean())) ** 2
    tilt, radius = _tilt_and_radius(values.shape)
    band = (radius > TELLING_BAND[0]) & (radius < TELLING_BAND[1])
    measured, mirrored = ((tilt >= a) & (tilt <= b) for a, b in ((low, high), (-high, -low)))
    claimed, denied = band & measured & ~mirrored, band & mirrored & ~measured
    return bool(power[denied].mean() > TELLING_RATIO * power[claimed].mean())


def _tilt_and_radius(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tilt in degrees at which a coefficient of a half spectrum is measured, and its cycles per voxel."""
    axes = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt(z**2 + y**2 + x**2)
    return np.degrees(np.arctan2(np.broadcast_to(z, radius.shape), np.broadcast_to(x, radius.shape))), radius


def input_column(row: TomogramRow, given: str | None, use_deconvolved: bool) -> str | None:
    """Column of the file that is used where no halves are; None for the one the table is about."""
    if given is not None:
        return given
    deconvolved = use_deconvolved and row.path(DECONVOLVED) is not None
    return DECONVOLVED if deconvolved else None


def read_tomograms(
    rows: list[TomogramRow], use_halves: bool, columns: list[str | None], places: bool = True
) -> list[Tomogram]:
    """Find the tomograms of a table, with their masks and tilts; all that is missing is named at once.

    Parameters
    ----------
    rows : list of TomogramRow
        Of the table.
    use_halves : bool
        Take even and odd tomograms, or else the full ones.
    columns : list of (str or None)
        For each, the column of the full one, see `input_column`.
    places : bool
        Look for masks and coordinates, too.

    Raises
    ------
    SpisonetError
        If a file is missing or damaged, halves or masks differ in shape, or a tilt range is none.
    """
    files = [_files(row, use_halves, column) for row, column in zip(rows, columns, strict=True)]
    masks = [row.path("rlnMaskName") if places else None for row in rows]
    coordinates = [row.path("rlnBoxFile") if places else None for row in rows]
    unnamed = [row.shown for row, paths in zip(rows, files, strict=True) if not paths]
    if unnamed:
        what = "even and odd files are" if use_halves else "tomogram file is"
        raise SpisonetError(f"No {what} named for {', '.join(unnamed)}.")
    wanted = [*(path for paths in files for path in paths), *masks, *coordinates]
    missing = [str(path) for path in wanted if path is not None and not path.is_file()]
    if missing:
        raise SpisonetError(f"Missing: {', '.join(missing)}.")
    tomograms = []
    for row, paths, mask, points in zip(rows, files, masks, coordinates, strict=True):
        volumes = tuple(open_tomogram(path, row.voxel_size_angstrom) for path in paths)
        masking = None if mask is None else open_tomogram(mask, volumes[0].voxel_size_angstrom)
        for other in (*volumes[1:], *([masking] if masking else [])):
            if other.shape != volumes[0].shape:
                raise SpisonetError(
                    f"{other.path} is of shape {other.shape}, but {volumes[0].path} of {volumes[0].shape}."
                )
        tilts = _tilt_range(row, paths)
        tomograms.append(Tomogram(row.shown, volumes, tilts, masking, points, _n_subvolumes(row)))
    return tomograms


def _files(row: TomogramRow, use_halves: bool, column: str | None) -> tuple[Path, ...]:
    if use_halves:
        return row.halves or ()
    path = row.full if column is None else row.path(column)
    return () if path is None else (path,)


def _tilt_range(row: TomogramRow, paths: tuple[Path, ...]) -> tuple[float, float]:
    low, high = row.number_of("rlnTiltMin"), row.number_of("rlnTiltMax")
    if low is None or high is None:
        series = row.path("rlnTomoTiltSeriesStarFile")
        known = [series] if series is not None and series.is_file() else []
        # Deconvolved tomograms lie in a folder without the others' files.
        beside = [*paths, *(row.halves or ()), *([row.full] if row.full else [])]
        source = next(iter([*known, *filter(None, map(find_tilt_file, beside))]), None)
        found = DEFAULT_TILT_RANGE if source is None else read_tilt_range(source)
        log.info(
            "%s: tilts %g to %g degrees, %s.", row.shown, *found, f"from {source}" if source else "by default"
        )
        low, high = found[0] if low is None else low, found[1] if high is None else high
    if not -STEEPEST <= low < high <= STEEPEST:
        raise SpisonetError(f"{row.shown}: the tilt range {low:g} to {high:g} degrees is none.")
    return low, high


def _n_subvolumes(row: TomogramRow) -> int:
    if row.text("rlnNumberSubtomo") in (None, "auto"):
        return DEFAULT_CROPS if row.text(SUBTOMOGRAM) is None else CROPS_A_SUBTOMOGRAM
    number = row.number_of("rlnNumberSubtomo")
    if number is None or number < 1 or number != int(number):
        raise SpisonetError(
            f"{row.shown}: rlnNumberSubtomo is {row.text('rlnNumberSubtomo')}, not a number from 1."
        )
    return int(number)


def require_thickness(tomograms: list[Tomogram], cube_size: int, pad: bool) -> None:
    """Check that cubes fit into the tomograms.

    Raises
    ------
    SpisonetError
        If one is thinner, and `pad` does not allow to mirror it.
    """
    for tomogram in tomograms:
        if min(tomogram.shape) < cube_size and not pad:
            raise SpisonetError(
                f"{tomogram.volumes[0].path} is {min(tomogram.shape)} voxels thick, less than --cube_size "
                f"{cube_size}: give a smaller --cube_size, or --pad to mirror it at its borders."
            )


def subvolume_centres(tomogram: Tomogram, cube_size: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Draw places where crops may be centred: coordinates, places inside the mask, or any.

    Parameters
    ----------
    tomogram : Tomogram
        The tomogram.
    cube_size : int
        Edge of crops, which are to stay inside the tomogram as long as they are not turned.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        ``(n, 3)`` voxel coordinates ``(x, y, z)``.

    Raises
    ------
    SpisonetError
        If there are none.
    """
    half = cube_size // 2
    lowest = np.array([min(half, n // 2) for n in tomogram.shape])
    highest = np.array([max(n - half, n // 2) for n in tomogram.shape])
    if tomogram.coordinates is not None:
        points = _read_coordinates(tomogram.coordinates)
        if (points < 0).any() or (points >= tomogram.shape[::-1]).any():
            raise SpisonetError(f"{tomogram.coordinates} holds places outside {tomogram.volumes[0].path}.")
        return np.clip(points, lowest[::-1], highest[::-1]).astype(np.int16)
    wanted = min(N_CENTRES, CENTRES_A_CROP * tomogram.n_subvolumes)
    if tomogram.mask is None:
        return rng.integers(lowest, highest + 1, (wanted, 3))[:, ::-1].astype(np.int16)
    kept, keys = np.empty((0, 3), np.int16), np.empty(0)
    z, y, x = (slice(low, high + 1) for low, high in zip(lowest, highest, strict=True))
    for slab in slabs(tomogram.shape):
        planes = slice(max(slab.start, z.start), min(slab.stop, z.stop))
        if planes.start >= planes.stop:
            continue
        inside = tomogram.mask.read(planes, y, x) > 0
        places = np.flatnonzero(inside)
        # The places with the smallest of random keys are an even sample of all.
        own = rng.random(len(places))
        if len(keys) == wanted:
            places, own = places[own < keys.max()], own[own < keys.max()]
        found = np.stack(np.unravel_index(places, inside.shape)[::-1], axis=1)
        found += [x.start, y.start, planes.start]
        keys = np.concatenate([keys, own])
        kept = np.concatenate([kept, found.astype(np.int16)])
        if len(keys) > wanted:
            smallest = np.argpartition(keys, wanted)[:wanted]
            kept, keys = kept[smallest], keys[smallest]
    if not len(kept):
        raise SpisonetError(
            f"The mask {tomogram.mask.path} leaves no place for cubes of {cube_size} voxels: "
            "it is empty, or only at the borders."
        )
    return kept


def _read_coordinates(path: Path) -> NDArray[np.float64]:
    try:
        points = np.loadtxt(path, ndmin=2, usecols=(0, 1, 2))
    except (OSError, ValueError, IndexError) as error:
        raise SpisonetError(f"{path} holds no lines of x, y and z.") from error
    if not len(points):
        raise SpisonetError(f"{path} holds no coordinates.")
    return points
