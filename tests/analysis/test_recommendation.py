"""The recommended strategy of a diagnosis: its reasons, and commands that can be run as they are."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spisonet.analysis.config import DiagnoseConfig
from spisonet.analysis.fsc3d import Fsc3dMetrics
from spisonet.analysis.fsc_metrics import DirectionalResolutions, Resolution
from spisonet.analysis.orientation_diagnostics import (
    Diagnosis,
    ParticleSampling,
    SamplingStatistics,
    Strategy,
)
from spisonet.analysis.pose_drift import PoseDrift
from spisonet.analysis.recommendation import ParticleKind, recommend
from spisonet.anisotropy.config import ReconstructConfig


def sampling(undersampled: float = 0.02, psf_aspect_ratio: float = 1.0) -> SamplingStatistics:
    return SamplingStatistics(SimpleNamespace(), undersampled, psf_aspect_ratio)


def particles(low_correlation: float = 0.0, inconsistent: float = 0.0, **given: float) -> ParticleSampling:
    return ParticleSampling(np.zeros((0, 3)), 1234, sampling(**given), 0.66, low_correlation, inconsistent)


def diagnosis(measured: SamplingStatistics, views: ParticleSampling | None = None) -> Diagnosis:
    directional = DirectionalResolutions(np.array([3.5, 4.5, 6.5]), np.array([False, True, True]))
    metrics = Fsc3dMetrics(Resolution(4.0, True), Resolution(5.0, True), directional, 0.93, 0.81)
    return Diagnosis(
        SimpleNamespace(limit_resolution_angstrom=4.0), metrics, SimpleNamespace(), measured, views
    )


def drift(motion_degrees: float) -> PoseDrift:
    curve = (np.array(values) for values in ([0.0, 1.0], [0.0, 2.0], [0.0, 0.3]))
    return PoseDrift(1000, 5000, 60.0, 15.0, motion_degrees, 1.0, 1e-6, 100.0, *curve)


CASES = {
    Strategy.NONE: diagnosis(sampling()),
    Strategy.ANISOTROPY: diagnosis(sampling(undersampled=0.3)),
    Strategy.MISALIGNMENT: diagnosis(sampling(), particles(low_correlation=0.4)),
    Strategy.POSE_DRIFT: replace(diagnosis(sampling(psf_aspect_ratio=2.5)), drift=drift(4.0)),
    Strategy.SEVERE: diagnosis(sampling(psf_aspect_ratio=2.5)),
}
HALVES = Path("half 1.mrc"), Path("half2.mrc")


def test_a_drift_along_the_only_axis_of_views_is_not_believed():
    undetermined = replace(drift(4.0), unsampled_fraction=0.3)
    assert not undetermined.is_detected
    assert "stretched particle" in undetermined.sentence
    assert undetermined.numbers["is_determined"] is False
    case = replace(CASES[Strategy.POSE_DRIFT], drift=undetermined)
    assert case.strategy is Strategy.SEVERE


@pytest.mark.parametrize("strategy", CASES)
def test_each_case_has_its_strategy_and_commands(strategy):
    assert CASES[strategy].strategy is strategy
    found = recommend(CASES[strategy], *HALVES, Path("mask.mrc"), "c3", apix=1.5)
    refines = strategy in (Strategy.MISALIGNMENT, Strategy.SEVERE)
    assert any("--external_reconstruct" in line for line in found.commands) is refines
    assert any("ISONET_KEEP_LOWRES" in line for line in found.commands) is (strategy is Strategy.SEVERE)
    assert bool(found.commands) is (strategy is not Strategy.NONE)


@pytest.mark.parametrize("strategy", [Strategy.ANISOTROPY, Strategy.MISALIGNMENT])
def test_commands_are_valid_command_lines(strategy):
    models = {"reconstruct": ReconstructConfig, "diagnose": DiagnoseConfig}
    lines = recommend(CASES[strategy], *HALVES, Path("mask.mrc"), "c3", apix=1.5).commands
    words = [shlex.split(line) for line in lines if line.startswith("spisonet.py")]
    assert {line[1] for line in words} <= set(models)
    for line in words:
        options = {word.removeprefix("--") for word in line if word.startswith("--")}
        assert options <= set(models[line[1]].model_fields)
    if strategy is Strategy.ANISOTROPY:
        assert words[0][2:4] == [str(path) for path in HALVES]
        assert words[0][words[0].index("--limit_res") + 1] == "4.00"


def test_reasons_state_the_numbers_that_decided():
    found = recommend(diagnosis(sampling(undersampled=0.31), particles(low_correlation=0.42)), *HALVES, None)
    text = " ".join(found.reasons)
    for part in (
        "best not reached (Nyquist 3.50 Å), worst 6.50 Å",
        "cones of 20°",
        "cFAR 0.81",
        "31 % of Fourier space",
        "1,234 particles",
        "0.66",
        "42 %",
    ):
        assert part in text
    assert "--sym" in text  # no symmetry was given


def test_inconsistent_particles_are_named_and_ignored():
    found = diagnosis(sampling(), particles(low_correlation=0.9, inconsistent=0.6, psf_aspect_ratio=3.0))
    assert found.strategy is Strategy.NONE
    reasons = recommend(found, *HALVES, None).reasons
    assert any("inconsistent" in reason and "60 %" in reason for reason in reasons)
    assert any("not tested" in reason for reason in reasons)


def test_a_measured_drift_replaces_what_densities_suggest():
    misaligned = CASES[Strategy.MISALIGNMENT]
    still = replace(misaligned, drift=drift(0.4))
    assert still.strategy is Strategy.NONE
    assert "no drift of the poses was found" in " ".join(recommend(still, *HALVES, None).reasons)
    found = recommend(
        CASES[Strategy.POSE_DRIFT],
        *HALVES,
        Path("mask.mrc"),
        "c3",
        star=Path("Refine3D/job002/run_data.star"),
    )
    assert "4.0° rms" in " ".join(found.reasons)
    assert found.commands[0] == ("spisonet relion rescue Refine3D/job002 --o rescue --mask mask.mrc --sym c3")
    assert not replace(drift(4.0), p_value=0.01).is_detected


@pytest.mark.parametrize("kind", [ParticleKind.SUBTOMOGRAMS, ParticleKind.HELICAL_SEGMENTS])
def test_for_drifted_particles_no_command_is_named_that_refuses_them(kind):
    star = Path("Refine3D/job002/run_data.star")
    found = recommend(CASES[Strategy.POSE_DRIFT], *HALVES, Path("mask.mrc"), "c3", star=star, kind=kind)
    assert found.headline.startswith(f"A new refinement of the drifted {kind.value}")
    assert "not corrected by relion rescue" in found.reasons[-1]
    assert not any("rescue" in line for line in found.commands)
    assert any("--external_reconstruct" in line for line in found.commands)
    diagnose = next(line for line in found.commands if " diagnose " in line)
    of_subtomograms = kind is ParticleKind.SUBTOMOGRAMS
    assert ("--tomograms" in diagnose) is of_subtomograms
    assert ("export ISONET_SUBTOMOGRAMS=True" in found.commands) is of_subtomograms


@pytest.mark.parametrize("strategy", Strategy)
def test_the_rescue_is_named_where_half_maps_cannot_show_a_drift(strategy):
    """Only for anisotropic maps whose particle images were not compared with them."""
    found = CASES[strategy]
    reasons = recommend(found, *HALVES, None).reasons
    named = any("relion rescue REFINE3D_JOB_FOLDER" in reason for reason in reasons)
    assert named == (strategy in (Strategy.ANISOTROPY, Strategy.SEVERE))
    measured = replace(found, drift=replace(drift(0.0), p_value=1.0))
    assert not any(
        "REFINE3D_JOB_FOLDER measures" in reason for reason in recommend(measured, *HALVES, None).reasons
    )
    of_subtomograms = recommend(found, *HALVES, None, kind=ParticleKind.SUBTOMOGRAMS)
    assert not any("REFINE3D_JOB_FOLDER measures" in reason for reason in of_subtomograms.reasons)
