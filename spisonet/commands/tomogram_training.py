"""``refine``, ``denoise`` and ``predict``: train a network on tomograms and correct tomograms with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.api.tomogram_output import predict_after_training, predict_into_folder, train_into_folder
from spisonet.learning.launcher import run_on_devices

if TYPE_CHECKING:
    from spisonet.tomography.prediction_config import PredictConfig
    from spisonet.tomography.training_config import DenoiseConfig, RefineConfig, TomogramTrainingConfig


def run_refine(config: RefineConfig) -> None:
    """Train a network to fill missing wedges, and correct the tomograms with it.

    Raises
    ------
    SpisonetError
        If an input or option is unusable (nothing is written then), or training or prediction fails.
    """
    run_training(config)
    predict_after_training(config)


def run_denoise(config: DenoiseConfig) -> None:
    """Train a network to denoise tomograms, and denoise them with it; see `run_refine`."""
    run_training(config)
    predict_after_training(config)


def run_training(config: TomogramTrainingConfig) -> None:
    """Train on all devices and write the network into the output folder."""
    run_on_devices(run_training, config, train_into_folder)


def run_predict(config: PredictConfig) -> None:
    """Correct the tomograms of a table with a trained network; see `predict_into_folder`."""
    predict_into_folder(config)
