"""When a refinement iteration is skipped instead of corrected, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.geometry.view_sampling import FIRST_SAMPLING_SHELL
from spisonet.misalignment.anisotropy_check import MIN_SHELLS, AnisotropyCheck

if TYPE_CHECKING:
    from spisonet.misalignment.settings import MisalignmentSettings


@dataclass(frozen=True)
class SkipReason:
    """Why an iteration is not corrected although nothing failed.

    Attributes
    ----------
    code : str
        For programs, such as ``even_views``.
    message : str
        For users; follows "skipped: ".
    """

    code: str
    message: str


def skip_reason(
    check: AnisotropyCheck,
    settings: MisalignmentSettings,
    healpix_order: int | None,
    *,
    joins_halves: bool = False,
    ends_classification: bool = False,
    is_body: bool = False,
    is_of_subtomograms: bool = False,
) -> SkipReason | None:
    """Return why an iteration should be skipped; None if it should be corrected.

    If ISONET_START_RESOLUTION or ISONET_START_HEALPIX is set, these thresholds decide. Otherwise an
    iteration is corrected where its view distribution is uneven.

    Parameters
    ----------
    check : AnisotropyCheck
        Resolution and undersampled fraction of the iteration.
    settings : MisalignmentSettings
        Thresholds that the user has set.
    healpix_order : int or None
        HEALPix order of the angular sampling.
    joins_halves : bool
        Last iteration of a refinement with independent halves, which joins them.
    ends_classification : bool
        Last iteration of a classification, whose maps are its result.
    is_body : bool
        Body of a multi-body refinement.
    is_of_subtomograms : bool
        Refinement of subtomograms.
    """
    if joins_halves:
        return SkipReason(
            "final_iteration",
            "the last iteration joins the halves; RELION's map is kept "
            "(correct the final half maps with spisonet.py reconstruct)",
        )
    if ends_classification:
        return SkipReason(
            "final_iteration",
            "this is the last iteration of the classification; RELION's map of the class is kept, so that "
            "the final maps contain measured data only",
        )
    if is_body:
        return SkipReason("multi_body", "bodies of a multi-body refinement are not corrected")
    if is_of_subtomograms and not settings.subtomograms:
        return SkipReason(
            "subtomograms", "references of subtomograms are corrected only with ISONET_SUBTOMOGRAMS=True"
        )
    return _resolution_reason(check, settings, healpix_order)


def _resolution_reason(
    check: AnisotropyCheck, settings: MisalignmentSettings, healpix_order: int | None
) -> SkipReason | None:
    """Apply the rules on resolution, angular sampling and view distribution."""
    resolution = check.resolution_angstrom
    if check.limit_shell < FIRST_SAMPLING_SHELL + MIN_SHELLS:
        return SkipReason("resolution_too_low", f"a resolution of {resolution:.1f} Å is too low for training")
    if settings.start_resolution is not None and resolution >= settings.start_resolution:
        return SkipReason(
            "before_start_resolution",
            f"the resolution of {resolution:.1f} Å has not reached "
            f"ISONET_START_RESOLUTION={settings.start_resolution:g}",
        )
    if settings.start_healpix is not None and (healpix_order or 0) < settings.start_healpix:
        return SkipReason(
            "before_start_healpix",
            f"HEALPix order {healpix_order} is below ISONET_START_HEALPIX={settings.start_healpix}",
        )
    thresholds_are_set = settings.start_healpix is not None or settings.start_resolution is not None
    if thresholds_are_set or check.views_are_uneven:
        return None
    percent = 100 * check.undersampled_fraction
    return SkipReason("even_views", f"the views are even ({percent:.0f} % of Fourier space undersampled)")
