"""Training cases of maps: half maps of parts of known structures, and what the networks are to predict."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gemmi
import numpy as np
import torch

from benchmarks.pretraining.examples import matched_truth
from benchmarks.pretraining.half_maps import simulate_half_maps
from benchmarks.quality.cases import SHAPES, measured_region
from benchmarks.quality.densities import model_density
from benchmarks.quality.particles import ParticleSet
from benchmarks.solvent_mask import solvent_mask
from spisonet.analysis.half_map_fsc import masked_fsc
from spisonet.analysis.half_maps import HalfMaps
from spisonet.anisotropy.fourier_weights import estimate_fourier_weights
from spisonet.anisotropy.preparation import correction_band, prepare_measurement
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.shells import resolution_at_threshold
from spisonet.geometry.rotations import random_rotations
from spisonet.io.mrc import Volume
from spisonet.learning.memory import Memory
from spisonet.learning.spectra import apply_filter, fourier_crop
from spisonet.learning.structural_prior import (
    DEFAULT_PRIOR,
    StructuralPrior,
    network_grid,
    prior_inputs,
    read_prior_network,
)
from spisonet.learning.whitening import Whitening, whitening_rfft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from spisonet.learning.measurement import Measurement

    SimulateHalves = Callable[
        [NDArray[np.float32], float, int, np.random.Generator], list[NDArray[np.float32]]
    ]

PRIOR_EXAMPLE, START_EXAMPLE = "prior.npz", "start.npz"
CPU = torch.device("cpu")
BRIGHTEST_PERCENT = 99.99
FEWEST_RESIDUES = 80  # of a chain
SMALLEST_BOX, LARGEST_BOX = 56, 96
CONE_REPEATS = 2  # of each file, also simulated without a cone or wedge
LARGEST_VOXEL, FEWEST_SHELLS, FSC_THRESHOLD = 3.4, 8, 0.143


@dataclass(frozen=True)
class Part:
    """A part of a structure and the grid on which it is simulated."""

    change: Callable[[gemmi.Model], None]
    box: int
    voxel_size_angstrom: float
    b_factor: float


def make_map_cases(files: list[Path], folder: Path, repeats: int) -> None:
    """Make the cases of all coordinate files; those that exist are kept.

    Parameters
    ----------
    files : list of Path
        Coordinate files.
    folder : Path
        Folder of the cases.
    repeats : int
        Cases of each file: the whole assembly in even ones (from 0), one or two chains at a voxel size below
        1.8 Å in odd ones. The first two are made of particles and, in other orientations, with white noise
        and without a cone, a wedge or two wedges of their Fourier transforms.
    """
    for repeat in range(repeats):
        for number, model in enumerate(files):
            stem = f"{model.name.split('.')[0]}_{repeat}"
            _make_new_case(folder / stem, model, repeat, [repeat, number], _particle_halves)
            if repeat < CONE_REPEATS:
                _make_new_case(folder / f"{stem}_cone", model, repeat, [repeat, number, 1], _cone_halves)


def _make_new_case(folder: Path, model: Path, repeat: int, seed: list[int], halves: SimulateHalves) -> None:
    """Make a case unless it exists; say on the error stream why one is left out."""
    if (folder / START_EXAMPLE).exists():
        return
    try:
        make_case(folder, model, repeat, np.random.default_rng(seed), halves)
    except SpisonetError as error:
        print(f"{folder.name}: {error}", file=sys.stderr)


def make_case(
    folder: Path, model: Path, repeat: int, rng: np.random.Generator, halves: SimulateHalves
) -> None:
    """Simulate half maps of a part of a model, and write the inputs and the target of the network.

    Raises
    ------
    SpisonetError
        If the half maps do not correlate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = draw_part(model, one_chain=repeat % 2 == 1, rng=rng)
    voxel = part.voxel_size_angstrom
    truth = model_density(model, part.box, voxel, 2 * voxel, change=part.change, b_factor=part.b_factor)
    truth /= np.percentile(truth, BRIGHTEST_PERCENT)
    half1, half2 = halves(truth, voxel, repeat, rng)
    mask = solvent_mask((half1 + half2) / 2, voxel)
    maps = HalfMaps(*(Volume(v.astype(np.float32), voxel) for v in (half1, half2, mask)))
    write_examples(folder, maps, truth)


def _particle_halves(
    truth: NDArray[np.float32], voxel_size_angstrom: float, repeat: int, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Simulate half maps of particles with random views, noise and errors of the poses."""
    particles = ParticleSet(
        views=str(rng.choice(["top", "side", "two", "ring"], p=[0.45, 0.2, 0.25, 0.1])),
        share=float(rng.choice([1.0, 0.97, 0.9])),
        spread_degrees=float(rng.uniform(6, 20)),
        n_particles=int(rng.choice([2000, 3000, 4000])),
        noise=float(rng.choice([0.7, 1.0, 1.5] if repeat % 2 else [1.0, 1.5, 2.0, 3.0])),
        pose_error_degrees=float(rng.choice([0.5, 1.0, 1.0, 2.0])),
        drift_degrees=float(rng.choice([0, 0, 0, 0, 6.0])),
    )
    return simulate_half_maps(truth, voxel_size_angstrom, particles, rng)


def _cone_halves(
    truth: NDArray[np.float32], voxel_size_angstrom: float, repeat: int, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Simulate half maps with white noise, without a random region of their Fourier transforms."""
    shape = str(rng.choice(SHAPES, p=[0.3, 0.5, 0.2]))
    measured = measured_region(shape, float(rng.uniform(40, 65)), len(truth))
    deviation = truth.std() * float(rng.choice([0.3, 0.5, 0.8, 1.2]))
    noisy = (truth + deviation * rng.normal(size=truth.shape).astype(np.float32) for _ in range(2))
    return [irfft3(rfft3(volume) * measured, volume.shape) for volume in noisy]


def draw_part(model: Path, one_chain: bool, rng: np.random.Generator) -> Part:
    """Draw a part of a structure, its orientation and its grid."""
    structure = gemmi.read_structure(str(model))
    structure.setup_entities()
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.AddNumber)
    chains = {chain.name: _positions(chain) for chain in structure[0] if len(chain) >= FEWEST_RESIDUES}
    kept = set(chains)
    if one_chain:
        first = chains[str(rng.choice(sorted(chains)))].mean(axis=0)
        by_distance = sorted(
            chains, key=lambda name: float(np.linalg.norm(chains[name].mean(axis=0) - first))
        )
        kept = set(by_distance[: int(rng.choice([1, 1, 2]))])
    positions = np.concatenate([chains[name] for name in sorted(kept)])
    radii = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    diameter, filled = 2 * float(np.percentile(radii, 99)), float(rng.uniform(0.6, 0.75))
    if one_chain:
        voxel = float(rng.uniform(1.0, 1.4))
        box = int(np.clip(8 * np.ceil(diameter / filled / voxel / 8), SMALLEST_BOX, LARGEST_BOX))
        voxel = max(voxel, diameter / 0.75 / box)
    else:
        box = int(rng.choice([64, 72, 80, 96]))
        voxel = float(np.clip(diameter / filled / box, 1.0, LARGEST_VOXEL))
    rotation = random_rotations(1, rng)[0]

    def change(assembly: gemmi.Model) -> None:
        for name in {chain.name for chain in assembly} - kept:
            assembly.remove_chain(name)
        for chain in assembly:
            for residue in chain:
                for atom in residue:
                    atom.pos = gemmi.Position(*(rotation @ np.array(atom.pos.tolist())))

    return Part(change, box, voxel, float(rng.choice([20.0, 40.0, 60.0, 80.0])))


def write_examples(folder: Path, maps: HalfMaps, truth: NDArray[np.float32]) -> None:
    """Write what both networks are trained on: ``prior.npz`` and ``start.npz``.

    The inputs are those of a run of ``reconstruct``. The targets have the shell amplitudes of the data: the
    networks restore directions, and do not sharpen.

    Raises
    ------
    SpisonetError
        If the half maps do not correlate.
    """
    measurement = prepared(maps)
    average = measurement.averaged()
    target = matched_truth(
        torch.from_numpy(truth), average.data[0], average.data_weight_rfft, len(truth) // 2
    )
    write_prior_example(folder / PRIOR_EXAMPLE, measurement, average, target)
    write_start_example(folder / START_EXAMPLE, measurement, target)


def prepared(maps: HalfMaps, resolution_angstrom: float | None = None) -> Measurement:
    """Return the measurement of two half maps with a mask, as ``reconstruct`` prepares it.

    Parameters
    ----------
    maps : HalfMaps
        The half maps.
    resolution_angstrom : float, optional
        Resolution limit, by default where the FSC falls to 0.143.

    Raises
    ------
    SpisonetError
        If the half maps do not correlate.
    """
    assert maps.half2 is not None
    assert maps.mask is not None
    edge_angstrom = maps.half1.box * maps.half1.voxel_size_angstrom
    halves = [maps.half1.data, maps.half2.data]
    if resolution_angstrom is None:
        fsc = masked_fsc(halves, maps.mask.data, 0, torch.get_num_threads()).fsc
        resolution_angstrom = resolution_at_threshold(fsc, FSC_THRESHOLD, edge_angstrom)
    if edge_angstrom / resolution_angstrom < FEWEST_SHELLS:
        raise SpisonetError(f"the half maps agree to {resolution_angstrom:.1f} Å only; the case is left out.")
    weights = estimate_fourier_weights(maps, None, resolution_angstrom, torch.get_num_threads())
    band = correction_band(weights, edge_angstrom / resolution_angstrom)
    measurement, _ = prepare_measurement(halves, weights, band, maps.mask.data, CPU, positivity=True)
    return measurement


def write_prior_example(path: Path, halves: Measurement, average: Measurement, target: torch.Tensor) -> None:
    """Write inputs and target of the prior network, of the average and of the halves."""
    grid = network_grid(average)
    of_average = prior_inputs(average, average.complete_by_constraints())
    of_halves = prior_inputs(halves, halves.complete_by_constraints())
    whitening = whitening_rfft(average, of_average.amplitude_rfft) / of_average.scales[0]
    assert average.support is not None
    _write(
        path,
        inputs=torch.cat([of_average.volumes, of_halves.volumes]),
        target=fourier_crop(apply_filter(target, whitening), grid),
        support=fourier_crop(average.support, grid).clamp(0, 1),
        weight_rfft=average.data_weight_rfft,
        box=average.shape[0],
    )


def write_start_example(path: Path, halves: Measurement, target: torch.Tensor) -> None:
    """Write inputs and target of the network that starts the training on a map.

    The inputs are half maps completed by constraints and by the prior; the training filters them by ``C``.

    Parameters
    ----------
    path : Path
        The file.
    halves : Measurement
        Two half maps.
    target : Tensor
        ``(z, y, x)`` truth, scaled to the data.
    """
    constrained = halves.complete_by_constraints()
    whitening = Whitening.of(halves, constrained)
    network = read_prior_network(DEFAULT_PRIOR)
    assert network is not None
    assert halves.support is not None
    prior = StructuralPrior(network, Memory(CPU)).predict(halves, constrained)
    completed = torch.cat([constrained, halves.complete(prior)])
    _write(
        path,
        inputs=whitening.apply(completed)[:, None],
        target=whitening.apply(target),
        support=halves.support,
        weight_rfft=halves.data_weight_rfft,
        input_weight_rfft=halves.fsc_weight_rfft,
        box=halves.shape[0],
    )


def _write(path: Path, box: int, **tensors: torch.Tensor) -> None:
    np.savez(path, box=box, **{name: tensor.half().numpy() for name, tensor in tensors.items()})


def _positions(chain: gemmi.Chain) -> NDArray[np.float64]:
    return np.array([atom.pos.tolist() for residue in chain for atom in residue])
