"""Null half maps, and what a correction adds to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from spisonet.analysis.half_maps import read_mask
from spisonet.analysis.leakage import local_power
from spisonet.analysis.normalisation import solvent_level
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.phase_randomisation import randomise_phases
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.io.mrc import Volume

    Halves = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class AddedCorrelation:
    """Correlation of two half maps that have nothing in common beyond a shell, before and after a correction.

    Attributes
    ----------
    before, after : float
        Mean FSC of the half maps over these shells, inside the mask.
    with_original : float
        Mean FSC of the corrected half map 1 with the original raw half map 2, there.
    attempted : float
        Share in 0..1 of these shells that the correction did not leave as they were.
    """

    before: float
    after: float
    with_original: float
    attempted: float = 1.0

    @property
    def result(self) -> str:
        """Whether the halves have come to agree on something, if anything was attempted."""
        if self.after - self.before >= MOST_ADDED_FSC:
            return FAILED
        return PASSED if self.attempted >= LEAST_ATTEMPTED else NOT_ATTEMPTED


@dataclass(frozen=True)
class DeletedDomain:
    """Density where a domain was deleted.

    Attributes
    ----------
    original, after : float
        Mean density inside the domain above the solvent's mean, in standard deviations of the solvent: in
        the run's own result, and in that of half maps without the domain.
    share : float
        How much of the deleted density's pattern is there: 1 for all of it.
    """

    original: float
    after: float
    share: float

    @property
    def result(self) -> str:
        """Whether the domain stayed absent, if it could be told."""
        if self.after >= MOST_DEVIATIONS or self.share >= MOST_SHARE:
            return FAILED
        return PASSED if self.original >= LEAST_VISIBLE * MOST_DEVIATIONS else NOT_VISIBLE


def read_domain(path: Path, like: Volume, apix: float | None) -> NDArray[np.float32]:
    """Read the mask of a domain ``(n, n, n)``, or make one around the atoms of a model of it.

    Raises
    ------
    SpisonetError
        If it cannot be read, or does not fit the map.
    """
    if not MODEL_SUFFIXES & set(path.suffixes):
        return read_mask(path, like, apix).data
    atoms = positions_in_map(read_model(path), like)
    n, voxel_size = like.box, like.voxel_size_angstrom
    voxels = np.rint(atoms[:, ::-1]).astype(int)  # (z, y, x)
    outside = np.ones((n, n, n), dtype=bool)
    outside[tuple(voxels[((voxels >= 0) & (voxels < n)).all(axis=1)].T)] = False
    distance = distance_transform_edt(outside) * voxel_size
    edge = np.clip((distance - ATOM_RADIUS_ANGSTROM) / ATOM_RADIUS_ANGSTROM, 0, 1)
    soft: NDArray[np.float32] = (0.5 * (1 + np.cos(np.pi * edge))).astype(np.float32)
    return soft


def noise_halves(halves: Halves, seed: int) -> Halves:
    """Make two maps of independent noise as strong, coefficient by coefficient, as that of half maps.

    Parameters
    ----------
    halves : tuple of ndarray
        Half maps ``(n, n, n)``; half the power of their difference is the noise of each.
    seed : int
        Of the noise.
    """
    rng = np.random.default_rng(seed)
    n = len(halves[0])
    amplitude = np.sqrt(local_power([rfft3(halves[0] - halves[1])], n) / 2) / n**1.5
    noise = [
        irfft3(
            (rfft3(rng.normal(size=(n, n, n)).astype(np.float32)) * amplitude).astype(np.complex64), (n,) * 3
        )
        for _ in halves
    ]
    return noise[0], noise[1]


def randomised_halves(halves: Halves, shell: int, seed: int) -> Halves:
    """Give both half maps random phases of their own from a shell on."""
    rng = np.random.default_rng(seed)
    first, second = (randomise_phases(half, shell, rng) for half in halves)
    return first, second


def without_domain(
    halves: Halves, corrected: NDArray[np.float32], domain: NDArray[np.float32]
) -> tuple[Halves, NDArray[np.float32]]:
    """Subtract a domain from half maps, as far as they show it.

    Parameters
    ----------
    halves : tuple of ndarray
        Half maps ``(n, n, n)``.
    corrected : ndarray
        ``(n, n, n)`` mean of the corrected half maps, solvent at zero: the noise of one is not to be
        subtracted from the other.
    domain : ndarray
        ``(n, n, n)`` soft mask of the domain, in 0..1.

    Returns
    -------
    halves : tuple of ndarray
        Without the domain.
    deleted : ndarray
        ``(n, n, n)`` the domain's density.
    """
    n = len(corrected)
    deleted = (corrected * domain).astype(np.float32)
    spectra = [rfft3(half - np.float32(half.mean())) for half in halves]
    # The power that both halves share: (|y1 + y2|² - |y1 - y2|²) / 4.
    first, second = spectra
    shown = (local_power([first + second], n) - local_power([first - second], n)) / 4
    whole = local_power([rfft3(corrected)], n)
    # How strongly the half maps show what the corrected map holds: nothing where they are void.
    transfer = np.sqrt(np.clip(np.divide(shown, whole, out=np.zeros_like(whole), where=whole > 0), 0, 1))
    seen = irfft3((rfft3(deleted) * transfer).astype(np.complex64), deleted.shape)
    return (halves[0] - seen, halves[1] - seen), deleted


def added_correlation(
    before: Halves,
    after: Halves,
    original2: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    shells: slice,
    attempted: float = 1.0,
) -> AddedCorrelation:
    """Measure what a correction added to the correlation of half maps in some shells, inside the mask."""

    def mean_fsc(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        spectra = [
            rfft3((v - np.float32(solvent_level(v, mask))) * (1 if mask is None else mask))
            for v in (first, second)
        ]
        return float(fourier_shell_correlation(spectra[0], spectra[1], len(first))[shells].mean())

    return AddedCorrelation(mean_fsc(*before), mean_fsc(*after), mean_fsc(after[0], original2), attempted)


def deleted_domain(
    original: NDArray[np.float32],
    after: NDArray[np.float32],
    deleted: NDArray[np.float32],
    domain: NDArray[np.float32],
    mask: NDArray[np.float32],
) -> DeletedDomain:
    """Measure the density where a domain was deleted.

    Parameters
    ----------
    original, after : ndarray
        ``(n, n, n)`` corrected maps with and without the domain in the half maps, up to the limit: finer
        noise would mask_out_cone what returned.
    deleted : ndarray
        ``(n, n, n)`` the domain's density.
    domain, mask : ndarray
        ``(n, n, n)`` soft masks in 0..1 of the domain and of the particle; the solvent is outside both.
    """
    inside, solvent = domain > DOMAIN, (mask < SOLVENT) & (domain < SOLVENT)

    def deviations(volume: NDArray[np.float32]) -> float:
        spread = max(float(volume[solvent].std()), 1e-30)
        return float(volume[inside].mean() - volume[solvent].mean()) / spread

    pattern = deleted[inside] - deleted[inside].mean()
    share = float((after * domain)[inside] @ pattern / max(float(pattern @ pattern), 1e-30))
    return DeletedDomain(deviations(original), deviations(after), share)


MOST_ADDED_FSC = 0.05  # mean over shells that a correction may add to the correlation of nothing


MOST_DEVIATIONS = 3.0  # of the solvent, that a deleted domain's density may be above it


MOST_SHARE = 0.5  # of its pattern


LEAST_VISIBLE = 2.0  # times that: a domain fainter in the run's own result cannot be seen to return


LEAST_ATTEMPTED = 0.05


PASSED, FAILED = "passed", "FAILED"


NOT_ATTEMPTED = "nothing attempted: the half maps do not correlate there, and are left as they are"


NOT_VISIBLE = "inconclusive: the domain itself hardly stands out from the solvent"


SOLVENT, DOMAIN = 0.01, 0.5  # mask values


MODEL_SUFFIXES = {".pdb", ".ent", ".cif", ".mmcif"}


ATOM_RADIUS_ANGSTROM = 3.0  # and as much for the soft edge
