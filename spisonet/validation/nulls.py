"""Null tests: correct maps that lack something on purpose, and look whether it appears.

Three kinds of half maps are made from those of a run, and corrected as it was:

``noise``
    Noise alone, with the power that the difference of the half maps has in every direction.
``phases``
    The half maps with random phases beyond a resolution, of their own in each half.
``deletion``
    The half maps without a domain: the corrected density inside a mask, as the half maps show it, is
    subtracted from them. The mask of the run still has room for it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from spisonet import __version__
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.anisotropy.grey_scale import solvent_level
from spisonet.anisotropy.guards import local_power
from spisonet.anisotropy.inputs import checked_limit_resolution, read_mask
from spisonet.anisotropy.reconstruct import output_names, reconstruct
from spisonet.anisotropy.task import FSC3D_FILE
from spisonet.errors import SpisonetError
from spisonet.fourier.grids import irfft3, rfft3
from spisonet.fourier.phases import randomise_phases
from spisonet.fourier.shells import fourier_shell_correlation
from spisonet.io.atomic import prepare_output_folder
from spisonet.io.config import JOB_FILE, read_job_record, write_json
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.validation.finished import FinishedRun
from spisonet.validation.model import positions_in_map, read_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spisonet.learning.memory import Memory
    from spisonet.learning.processes import Processes
    from spisonet.validation.config import NullTestConfig

    Halves = tuple[NDArray[np.float32], NDArray[np.float32]]

log = logging.getLogger("spisonet")

FOLDER, RECORD = "null_tests", "null_tests.json"
FIRST_SHELL = 3
MOST_ADDED_FSC = 0.05  # mean over shells that a correction may add to the correlation of nothing
MOST_DEVIATIONS = 3.0  # of the solvent, that a deleted domain's density may be above it
MOST_SHARE = 0.5  # of its pattern
LEAST_VISIBLE = 2.0  # times that: a domain fainter in the run's own result cannot be seen to return
LEAST_ATTEMPTED = 0.05
PASSED, FAILED = "passed", "FAILED"
NOT_ATTEMPTED = "nothing attempted: the half maps do not correlate there, and are left as they are"
NOT_VISIBLE = "inconclusive: the domain itself hardly stands out from the solvent"
COARSER = 1.5  # than the limit: from where phases are randomised if nothing else is asked for
SOLVENT, DOMAIN = 0.01, 0.5  # mask values
MODEL_SUFFIXES = {".pdb", ".ent", ".cif", ".mmcif"}
ATOM_RADIUS_ANGSTROM = 3.0  # and as much for the soft edge


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
        noise would hide what returned.
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


def null_test(config: NullTestConfig, memory: Memory, processes: Processes) -> None:
    """Carry out null tests on a finished run and write ``null_tests.json`` into its folder.

    Called in the main process while others attend.

    Raises
    ------
    SpisonetError
        If the folder holds no finished run, or one of a single map, or the domain's mask is unusable.
    """
    run = FinishedRun.read(config.folder, config.ncpus)
    if run.config.i2 is None:
        raise SpisonetError("One map alone cannot be put to null tests: they need both half maps.")
    maps, mask = run.before, None if run.before.mask is None else run.before.mask.data
    assert maps.half2 is not None
    n, voxel_size = maps.half1.box, maps.half1.voxel_size_angstrom
    coarse = checked_limit_resolution(
        config.phase_res or COARSER * run.limit_angstrom, voxel_size, "--phase_res"
    )
    from_shell, last = round(n * voxel_size / coarse), int(n * voxel_size / run.limit_angstrom)
    if from_shell >= last:
        raise SpisonetError(
            f"--phase_res {coarse:g} Å is not coarser than the limit of the run, {run.limit_angstrom:.2f} Å."
        )
    domain = None if config.delete is None else read_domain(config.delete, maps.half1, run.config.apix)
    if domain is not None and mask is None:
        raise SpisonetError("--delete needs a run with --mask, which tells the solvent from the particle.")
    if domain is not None and mask is not None:
        _require_domain(config, domain, mask)
    folder = run.folder / FOLDER
    prepare_output_folder(folder)
    halves = maps.half1.data, maps.half2.data
    found: dict[str, Any] = {
        "program": "spisonet",
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "validated_run": run.outcome["written"],
        "epochs": _epochs(run, config),
    }

    def added(name: str, null: Halves, shells: slice) -> AddedCorrelation:
        corrected = _correct(run, config, folder / name, null, memory, processes)
        attempted = read_job_record(folder / name)["corrected_by_shell"][shells]
        both = corrected[0].data, corrected[1].data
        return added_correlation(null, both, halves[1], mask, shells, float(np.mean(attempted)))

    seed = run.config.seed
    outcome = added("noise", noise_halves(halves, seed), slice(FIRST_SHELL, last + 1))
    # What is made of noise may not look like the particle, either.
    result = outcome.result if outcome.with_original < MOST_ADDED_FSC else FAILED
    found["noise"] = vars(outcome) | {"result": result}
    outcome = added("phases", randomised_halves(halves, from_shell, seed), slice(from_shell + 1, last + 1))
    found["phases"] = {"beyond_angstrom": coarse} | vars(outcome) | {"result": outcome.result}
    if domain is not None and mask is not None:
        assert run.after.half2 is not None
        mean = (run.after.half1.data + run.after.half2.data) / np.float32(2)
        null, deleted = without_domain(halves, mean - np.float32(solvent_level(mean, mask)), domain)
        original = read_volume(_filtered(run.folder / run.outcome["corrected_maps"][0]), run.config.apix)
        lacking = _correct(run, config, folder / "deletion", null, memory, processes)[0]
        after = read_volume(_filtered(Path(lacking.name)), run.config.apix)
        absent = deleted_domain(original.data, after.data, deleted, domain, mask)
        found["deletion"] = vars(absent) | {"result": absent.result}
    write_json(folder / RECORD, found)
    for name in ("noise", "phases", "deletion"):
        if name in found:
            log.info("Null test %s: %s", name, found[name]["result"])


def _filtered(corrected: Path) -> Path:
    return corrected.with_name(f"{corrected.stem}_filtered.mrc")


def _require_domain(config: NullTestConfig, domain: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
    """Refuse a domain in which nothing could appear, or beside which there is no solvent."""
    inside = domain > DOMAIN
    if not inside.any() or float(mask[inside].mean()) < DOMAIN:
        raise SpisonetError(f"{config.delete} is empty, or outside the run's mask, where nothing can appear.")
    if not ((mask < SOLVENT) & (domain < SOLVENT)).any():
        raise SpisonetError("The run's mask leaves no solvent to compare a deleted domain with.")


def _epochs(run: FinishedRun, config: NullTestConfig) -> int:
    return min(run.config.epochs, config.epochs or max(1, run.config.epochs // 3))


def _correct(
    run: FinishedRun,
    config: NullTestConfig,
    folder: Path,
    halves: Halves,
    memory: Memory,
    processes: Processes,
) -> tuple[Volume, Volume]:
    """Correct half maps as the run was, with what its 3D FSC says was measured."""
    prepare_output_folder(folder)
    paths = [folder / f"half{index}.mrc" for index in (1, 2)]
    like = run.before.half1
    for path, data in zip(paths, halves, strict=True):
        write_volume(path, like.with_data(data), "spisonet: made for a null test")
    asked = ReconstructConfig.from_options(
        run.config.model_dump()
        | {
            **{"i1": paths[0], "i2": paths[1], "output_dir": folder, "epochs": _epochs(run, config)},
            **{
                "limit_res": run.limit_angstrom,
                "reference": None,
                "resume": config.resume and (folder / JOB_FILE).is_file(),
            },
            "aniso_file": run.config.aniso_file or run.folder / FSC3D_FILE,
        }
    )
    reconstruct(asked, memory, processes)
    names = output_names(
        [Volume(data, 1.0, name=str(path)) for data, path in zip(halves, paths, strict=True)]
    )
    first, second = (read_volume(folder / f"corrected_{name}.mrc", run.config.apix) for name in names)
    return first, second
