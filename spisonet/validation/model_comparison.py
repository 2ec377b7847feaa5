"""Agreement of the maps of a run with an atomic model: FSC by direction and Q-scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spisonet.analysis.fsc3d import estimate_fsc3d, summarise_fsc3d
from spisonet.analysis.fsc_metrics import FSC_THRESHOLD_05, directional_resolutions
from spisonet.validation.model import model_density, positions_in_map, read_model
from spisonet.validation.q_score import q_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spisonet.analysis.fsc3d import Fsc3d, Fsc3dMetrics
    from spisonet.io.mrc import Volume
    from spisonet.validation.finished_run import FinishedRun
    from spisonet.validation.model import AtomicModel

CONE_DEGREES = 20.0
BEFORE, AFTER, DECONVOLVED = "before", "after", "deconvolved"


@dataclass(frozen=True)
class ModelAgreement:
    """Agreement of a map with a model.

    Attributes
    ----------
    fsc3d : Fsc3d
        FSC of map and model by direction.
    metrics : Fsc3dMetrics
        Its summary. The resolution of a map-to-model FSC is read at 0.5.
    directional_05_angstrom : ndarray
        ``(n_axes,)`` resolution in Å at which the FSC along each axis falls to 0.5.
    q_scores : ndarray
        ``(n_atoms,)`` Q-scores in -1..1.
    """

    fsc3d: Fsc3d
    metrics: Fsc3dMetrics
    directional_05_angstrom: NDArray[np.float64]
    q_scores: NDArray[np.float64]

    @property
    def mean_fsc(self) -> float:
        """Mean FSC over the shells up to the limit."""
        return float(self.fsc3d.global_fsc[1 : self.fsc3d.limit_shell + 1].mean())

    @property
    def numbers(self) -> dict[str, float]:
        """The summary, for a JSON file."""
        return {
            "fsc_05_angstrom": self.metrics.resolution_05_angstrom,
            "mean_fsc": self.mean_fsc,
            "best_direction_05_angstrom": float(self.directional_05_angstrom.min()),
            "worst_direction_05_angstrom": float(self.directional_05_angstrom.max()),
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
        name: compare_with_model(volume, model, density, run.mask, run.limit_angstrom, run.workers)
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
    """
    fsc3d = estimate_fsc3d(
        volume.data, density, mask, volume.voxel_size_angstrom, limit_angstrom, CONE_DEGREES, workers
    )
    return ModelAgreement(
        fsc3d,
        summarise_fsc3d(fsc3d),
        directional_resolutions(fsc3d.directional_curves, FSC_THRESHOLD_05, fsc3d.box_angstrom),
        q_scores(volume, positions_in_map(model, volume), workers),
    )
