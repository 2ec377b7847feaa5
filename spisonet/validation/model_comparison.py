"""Agreement of the maps of a run with an atomic model: FSC by direction and Q-scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.analysis.fsc3d import estimate_directional_fsc, summarise_fsc3d
from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_05, directional_resolutions
from spisonet.validation.model import model_density, positions_in_map, read_model
from spisonet.validation.q_score import q_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import DirectionalFsc, Fsc3dMetrics
    from spisonet.analysis.fsc_metrics import DirectionalResolutions
    from spisonet.io.mrc import Volume
    from spisonet.validation.finished_run import FinishedRun
    from spisonet.validation.model import AtomicModel

BEFORE, AFTER, DECONVOLVED = "before", "after", "deconvolved"


@dataclass(frozen=True)
class ModelAgreement:
    """Agreement of a map with a model.

    Attributes
    ----------
    fsc : DirectionalFsc
        FSC of map and model by direction.
    metrics : Fsc3dMetrics
        Its summary. The resolution of a map-to-model FSC is read at 0.5.
    directional_05 : DirectionalResolutions
        Resolution at which the FSC along each axis falls below 0.5.
    q_scores : ndarray
        ``(n_atoms,)`` Q-scores in -1..1.
    """

    fsc: DirectionalFsc
    metrics: Fsc3dMetrics
    directional_05: DirectionalResolutions
    q_scores: NDArray[np.float64]

    @property
    def mean_fsc(self) -> float:
        """Mean FSC over the shells up to the limit."""
        return float(self.fsc.global_fsc[1 : self.fsc.limit_shell + 1].mean())

    @property
    def numbers(self) -> dict[str, float | None]:
        """The summary, for a JSON file."""
        return {
            "fsc_05_angstrom": self.metrics.resolution_05.number,
            "mean_fsc": self.mean_fsc,
            "best_direction_05_angstrom": self.directional_05.best.number,
            "worst_direction_05_angstrom": self.directional_05.worst.number,
            "mean_q_score": float(self.q_scores.mean()),
        }


@dataclass(frozen=True)
class ModelComparison:
    """Agreement of half map 1 of a run with a model.

    Attributes
    ----------
    model : AtomicModel
        The model.
    agreements : dict
        `ModelAgreement` of the map ``before`` and ``after`` the correction and, if the run wrote it,
        ``deconvolved`` without a network.
    """

    model: AtomicModel
    agreements: dict[str, ModelAgreement]

    def q_scores_by_residue(self, name: str) -> NDArray[np.float64]:
        """Return the mean Q-score of each residue in one of the maps."""
        return self.model.by_residue(self.agreements[name].q_scores)


def compare_run_with_model(run: FinishedRun) -> ModelComparison | None:
    """Compare half map 1 of a run before and after with the model of its options; None without a model.

    Raises
    ------
    SpisonetError
        If the model cannot be read, or is outside of the map.
    """
    if run.config.model is None:
        return None
    model = read_model(run.config.model)
    maps = {BEFORE: run.input_maps.half1, AFTER: run.corrected_maps.half1}
    if run.deconvolved_map is not None:
        maps[DECONVOLVED] = run.deconvolved_map
    density = model_density(model, maps[BEFORE])
    agreements = {
        name: compare_with_model(
            volume, model, density, run.mask, run.limit_angstrom, run.workers, run.limit_is_measured
        )
        for name, volume in maps.items()
    }
    return ModelComparison(model, agreements)


def compare_with_model(
    volume: Volume,
    model: AtomicModel,
    density: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    limit_angstrom: float,
    workers: int,
    beyond_limit: bool = False,
) -> ModelAgreement:
    """Compare a map with a model.

    Parameters
    ----------
    volume : Volume
        The map.
    model : AtomicModel
        Model in the frame of the map.
    density : ndarray
        ``(n, n, n)`` scattering density of the model, see `model_density`.
    mask : ndarray or None
        ``(n, n, n)`` mask that is applied before the FSC.
    limit_angstrom : float
        Resolution to which the mean FSC is taken, in Å.
    workers : int
        CPU threads.
    beyond_limit : bool
        Continue the FSC curves beyond the limit, for a limit that was measured.
    """
    fsc = estimate_directional_fsc(
        volume.data,
        density,
        mask,
        volume.voxel_size_angstrom,
        limit_angstrom,
        workers,
        phase_seed=None,  # the model is no measurement of the same particle
        beyond_limit=beyond_limit,
    )
    curves = fsc.directional_curves
    return ModelAgreement(
        fsc,
        summarise_fsc3d(fsc),
        directional_resolutions(curves, FSC_THRESHOLD_05, fsc.box_angstrom, fsc.bound(curves.shape[1])),
        q_scores(volume, positions_in_map(model, volume), workers),
    )
