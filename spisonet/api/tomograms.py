"""Tables, deconvolution and masks of tomograms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spisonet.api.maps import Map, volume_of
from spisonet.api.parameters import require_known
from spisonet.errors import SpisonetError
from spisonet.fourier.ctf import DEFAULT_CS, DEFAULT_VOLTAGE, Microscope
from spisonet.io.processors import limited_threads
from spisonet.io.tomograms import TomogramInMemory, open_tomogram
from spisonet.tomography.deconvolution import (
    AMPLITUDE_CONTRAST,
    DEFAULT_SNR_FALLOFF,
    DEFAULT_STRENGTH,
    Deconvolution,
    filter_into,
)
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig
from spisonet.tomography.masking import (
    DEFAULT_PERCENTAGE,
    MaskOptions,
    bin_tomogram,
    specimen_mask,
    unbinned_planes,
)
from spisonet.tomography.table_config import PrepareStarConfig
from spisonet.tomography.table_preparation import plan_table, write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spisonet.api.maps import MapLike
    from spisonet.io.mrc import Volume
    from spisonet.tomography.table_preparation import PlannedTomogram, TablePlan

THREADS: int = DeconvConfig.model_fields["ncpu"].default
HIGHPASS: float = DeconvConfig.model_fields["highpassnyquist"].default
PATCH_SIZE: int = MakeMaskConfig.model_fields["patch_size"].default
# Options of the command that are arguments of `prepare_tomograms` under another name.
TABLE_ARGUMENTS = frozenset({"folder_name", "full", "even", "odd", "output_star", "tilt_min", "tilt_max"}) | {
    *("pixel_size", "defocus", "dry_run")
}
TABLE_OPTIONS = frozenset(PrepareStarConfig.model_fields) - TABLE_ARGUMENTS


@dataclass(frozen=True)
class PreparedTomograms:
    """The tomograms of some folders, as a table lists them.

    Attributes
    ----------
    plan : TablePlan
        Rows of the table (``rows``), what was assumed for it (``assumptions``), masks and subvolume centres
        that were not found (``not_found``), and files that are not used (``left_out``).
    star_file : Path or None
        The table, if it was written.
    """

    plan: TablePlan
    star_file: Path | None

    @property
    def tomograms(self) -> tuple[PlannedTomogram, ...]:
        """Name, files, shape, voxel size and tilt range of each tomogram."""
        return self.plan.tomograms

    def plot(self, index: int = 0) -> Figure:
        """Draw the central slices of a tomogram, as a matplotlib figure.

        Parameters
        ----------
        index : int
            Number of the tomogram, from 0.
        """
        from spisonet.figures.pages import draw_tomogram_page  # noqa: PLC0415 - matplotlib is slow to import

        tomogram = self.tomograms[index]
        file = open_tomogram(tomogram.paths.existing[0], tomogram.voxel_size_angstrom)
        return draw_tomogram_page(file, tomogram.name)


@dataclass(frozen=True)
class DeconvolvedTomogram:
    """A tomogram whose CTF is deconvolved.

    Attributes
    ----------
    tomogram : Map
        The deconvolved tomogram, with mean and standard deviation of the input.
    filter : Deconvolution
        The Wiener filter: ``microscope``, ``snr_falloff``, ``strength`` and ``highpass``.
    """

    tomogram: Map
    filter: Deconvolution

    def plot(self) -> Figure:
        """Draw the central slices, as a matplotlib figure."""
        return self.tomogram.plot()


@dataclass(frozen=True)
class TomogramMask:
    """Mask of the specimen in a tomogram.

    Attributes
    ----------
    mask : Map
        1 in the specimen, 0 elsewhere.
    fraction : float
        Fraction in 0..1 of the voxels that is in the specimen.
    """

    mask: Map
    fraction: float

    def plot(self) -> Figure:
        """Draw the central slices, as a matplotlib figure."""
        return self.mask.plot()


def prepare_tomograms(
    folder: Path | str | None = None,
    *,
    full: Path | str | None = None,
    even: Path | str | None = None,
    odd: Path | str | None = None,
    output_star: Path | str | None = None,
    tilt_range_degrees: tuple[float, float] | None = None,
    voxel_size_angstrom: float | None = None,
    defocus_angstrom: float | list[float] = 0.0,
    **options: Any,
) -> PreparedTomograms:
    """Find the tomograms of some folders and their tilt ranges, as the command ``prepare_star``.

    Parameters
    ----------
    folder : path, optional
        Folder of tomograms, or of even and odd ones together.
    full, even, odd : path, optional
        Folders of the tomograms from all tilts, and from even and odd tilts or frames.
    output_star : path, optional
        STAR file to write, which `refine_tomograms` reads [default: nothing is written].
    tilt_range_degrees : tuple of float, optional
        Minimum and maximum tilt [default: from tilt files, or assumed to be -60 to 60].
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides those of headers.
    defocus_angstrom : float or list of float
        Defocus, one for all or one for each tomogram; 0: no CTF.
    **options
        Further options of the command by name: ``mask_folder``, ``coordinate_folder``, ``tilt_folder``,
        ``voltage``, ``cs``, ``ac``, ``tilt_step``, ``create_average`` and ``number_subtomos``.

    Returns
    -------
    PreparedTomograms
        The tomograms, and what was assumed and left out.

    Raises
    ------
    SpisonetError
        If a folder contains no tomograms, halves do not match, or a tilt range is invalid.

    Examples
    --------
    >>> import spisonet
    >>> prepared = spisonet.prepare_tomograms(
    ...     "tomograms", output_star="tomograms.star", tilt_range_degrees=(-60, 60)
    ... )
    >>> [(tomogram.name, tomogram.shape) for tomogram in prepared.tomograms]
    [('TS_01', (32, 48, 48))]
    """
    require_known("prepare_tomograms", options, TABLE_OPTIONS)
    tilt_min, tilt_max = tilt_range_degrees or (None, None)
    defocus = defocus_angstrom if isinstance(defocus_angstrom, list) else [defocus_angstrom]
    config = PrepareStarConfig.from_options(
        {
            **{"folder_name": folder, "full": full, "even": even, "odd": odd},
            **{"tilt_min": tilt_min, "tilt_max": tilt_max},
            "pixel_size": "auto" if voxel_size_angstrom is None else str(voxel_size_angstrom),
            "defocus": ",".join(map(str, defocus)),
            **({} if output_star is None else {"output_star": output_star}),
            **options,
        }
    )
    plan = plan_table(config)
    if output_star is None:
        return PreparedTomograms(plan, None)
    write_table(plan, config.output_star)
    return PreparedTomograms(plan, config.output_star)


def deconvolve_ctf(
    tomogram: MapLike,
    defocus_angstrom: float,
    *,
    voxel_size_angstrom: float | None = None,
    voltage_kilovolt: float = DEFAULT_VOLTAGE,
    cs_millimetre: float = DEFAULT_CS,
    snr_falloff: float = DEFAULT_SNR_FALLOFF,
    strength: float = DEFAULT_STRENGTH,
    highpass_nyquist: float = HIGHPASS,
    phase_flipped: bool = False,
    threads: int = THREADS,
) -> DeconvolvedTomogram:
    """Deconvolve the CTF of a tomogram with a Wiener filter, as the command ``deconv``.

    Parameters
    ----------
    tomogram : path, Map or array
        Tomogram in which density is dark; an array is ``(z, y, x)`` and needs `voxel_size_angstrom`.
    defocus_angstrom : float
        Defocus in Å, positive for underfocus.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides that of the header.
    voltage_kilovolt, cs_millimetre : float
        Acceleration voltage and spherical aberration.
    snr_falloff, strength : float
        The assumed signal-to-noise ratio is ``exp(-100 f falloff / voxel_size) 10^strength`` at a fraction
        ``f`` of Nyquist.
    highpass_nyquist : float
        Cut-off of the high-pass filter as a fraction of Nyquist.
    phase_flipped : bool
        The tilt images are already phase flipped.
    threads : int
        CPU threads.

    Returns
    -------
    DeconvolvedTomogram
        The tomogram with enhanced low-resolution contrast.

    Raises
    ------
    SpisonetError
        If the tomogram is unusable.

    References
    ----------
    Tegunov & Cramer (2019) Nat. Methods 16, 1146-1152 (Warp).

    Examples
    --------
    >>> import spisonet
    >>> deconvolved = spisonet.deconvolve_ctf("tomograms/TS_01.mrc", 30000)
    >>> spisonet.write_map("TS_01_deconv.mrc", deconvolved.tomogram)
    """
    volume = volume_of(tomogram, voxel_size_angstrom, "tomogram")
    microscope = Microscope(
        volume.voxel_size_angstrom,
        defocus_angstrom,
        voltage_kilovolt,
        cs_millimetre,
        AMPLITUDE_CONTRAST,
        phase_flipped,
    )
    deconvolution = Deconvolution(microscope, snr_falloff, strength, highpass_nyquist)
    result = np.empty_like(volume.data)
    filter_into(
        result,
        _in_memory(volume),
        deconvolution.curve,
        deconvolution.reach,
        workers=limited_threads(threads),
    )
    return DeconvolvedTomogram(Map.of(volume.with_data(result)), deconvolution)


def make_mask(
    tomogram: MapLike,
    *,
    voxel_size_angstrom: float | None = None,
    density_percentage: float = DEFAULT_PERCENTAGE,
    std_percentage: float = DEFAULT_PERCENTAGE,
    patch_size: int = PATCH_SIZE,
    z_crop: float = 0.0,
    gold_sigma: float | None = None,
    max_tilt_degrees: float | None = None,
) -> TomogramMask:
    """Mask the specimen in a tomogram, as the command ``make_mask``.

    Parameters
    ----------
    tomogram : path, Map or array
        Tomogram in which density is dark, preferably deconvolved; an array is ``(z, y, x)`` and needs
        `voxel_size_angstrom`.
    voxel_size_angstrom : float, optional
        Voxel size in Å; overrides that of the header.
    density_percentage, std_percentage : float
        Percentage of voxels to keep by density, and by local variance.
    patch_size : int
        Radius of the maximum and variance filters, in voxels of the tomogram binned by 2.
    z_crop : float
        Fraction of the thickness to exclude at the top, and at the bottom.
    gold_sigma : float, optional
        Exclude regions around voxels darker than this many standard deviations (gold beads).
    max_tilt_degrees : float, optional
        Exclude edges that are outside the field of view at tilts up to this angle.

    Returns
    -------
    TomogramMask
        The mask, and the fraction of the tomogram that it covers.

    Raises
    ------
    SpisonetError
        If the tomogram is unusable, or the mask is empty.

    References
    ----------
    Liu et al. (2022) Nat. Commun. 13, 6482 (IsoNet).

    Examples
    --------
    >>> import spisonet
    >>> found = spisonet.make_mask("tomograms/TS_01.mrc", density_percentage=60, std_percentage=60)
    >>> 0 < found.fraction < 0.6
    True
    >>> spisonet.write_map("TS_01_mask.mrc", found.mask)
    """
    volume = volume_of(tomogram, voxel_size_angstrom, "tomogram")
    options = MakeMaskConfig.from_options(
        {
            **{"star_file": volume.name, "density_percentage": density_percentage, "z_crop": z_crop},
            **{"std_percentage": std_percentage, "patch_size": patch_size, "gold_sigma": gold_sigma},
        }
    )
    mask = specimen_mask(
        bin_tomogram(_in_memory(volume)),
        MaskOptions(
            options.patch_size, density_percentage, std_percentage, z_crop, gold_sigma, max_tilt_degrees
        ),
    )
    if not mask.any():
        raise SpisonetError(
            f"The mask of {volume.name} is empty: give larger percentages or a smaller z_crop."
        )
    data = np.stack(list(unbinned_planes(mask, _in_memory(volume).shape)))
    return TomogramMask(Map.of(volume.with_data(data.astype(np.float32))), float(mask.mean()))


def _in_memory(volume: Volume) -> TomogramInMemory:
    z, y, x = volume.data.shape
    return TomogramInMemory(Path(volume.name), (z, y, x), volume.voxel_size_angstrom, volume.data)
