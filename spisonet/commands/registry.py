"""The commands of each program: configuration models, and the functions that run them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from relion_external.config import COMMANDS as RELION_COMMANDS
from spisonet.analysis.config import DiagnoseConfig, Fsc3dConfig, Fsd3dConfig
from spisonet.anisotropy.config import ReconstructConfig
from spisonet.fourier.map_filters_config import AngularWhitenConfig, CombineMapConfig, WhiteningConfig
from spisonet.gui.config import GuiConfig
from spisonet.integrations.config import COPICK_COMMANDS, CRYOSPARC_COMMANDS, DepositConfig
from spisonet.io.config import command_words
from spisonet.learning.device_check_config import CheckConfig
from spisonet.report.config import ReportConfig
from spisonet.tomography.check_config import TomogramCheckConfig
from spisonet.tomography.filters_config import DeconvConfig, MakeMaskConfig, PsfConfig, ResizeConfig
from spisonet.tomography.prediction_config import PredictConfig
from spisonet.tomography.subtomogram_config import ExtractConfig, SubtomogramStarConfig
from spisonet.tomography.table_config import PrepareStarConfig
from spisonet.tomography.training_config import CorrectConfig, DenoiseConfig, RefineConfig
from spisonet.validation.config import NullTestConfig, ReferenceConfig, ValidateConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spisonet.io.config import CommandConfig

    Commands = Mapping[type[CommandConfig], str]

CHECK = "spisonet.commands.check:run_check"
GUI = "spisonet.gui.launch:run_gui"
RELION: Commands = RELION_COMMANDS
CRYOSPARC: Commands = CRYOSPARC_COMMANDS
COPICK: Commands = COPICK_COMMANDS
SPISONET: Commands = {
    DiagnoseConfig: "spisonet.commands.analysis:run_diagnose",
    Fsc3dConfig: "spisonet.commands.fsc3d:run_fsc3d",
    ReconstructConfig: "spisonet.commands.reconstruct:run_reconstruct",
    ValidateConfig: "spisonet.commands.validation:run_validate",
    NullTestConfig: "spisonet.commands.validation:run_null_test",
    ReportConfig: "spisonet.commands.validation:run_report",
    DepositConfig: "spisonet.integrations.deposition:run_deposit",
    Fsd3dConfig: "spisonet.commands.analysis:run_fsd3d",
    WhiteningConfig: "spisonet.commands.map_filters:run_whitening",
    AngularWhitenConfig: "spisonet.commands.map_filters:run_angular_whiten",
    CombineMapConfig: "spisonet.commands.map_filters:run_combine_map",
    ReferenceConfig: "spisonet.commands.reference:run_reference",
    CheckConfig: CHECK,
    GuiConfig: GUI,
}
ISONET: Commands = {
    PrepareStarConfig: "spisonet.commands.tomogram_table:run_prepare_star",
    DeconvConfig: "spisonet.commands.tomogram_filters:run_deconv",
    MakeMaskConfig: "spisonet.commands.tomogram_filters:run_make_mask",
    SubtomogramStarConfig: "spisonet.commands.subtomograms:run_prepare_subtomo_star",
    ExtractConfig: "spisonet.commands.subtomograms:run_extract",
    CorrectConfig: "spisonet.commands.tomogram_correction:run_correct",
    RefineConfig: "spisonet.commands.tomogram_training:run_refine",
    DenoiseConfig: "spisonet.commands.tomogram_training:run_denoise",
    PredictConfig: "spisonet.commands.tomogram_training:run_predict",
    ResizeConfig: "spisonet.commands.tomogram_filters:run_resize",
    PsfConfig: "spisonet.commands.tomogram_filters:run_psf",
    TomogramCheckConfig: "spisonet.commands.tomogram_table:run_tomogram_check",
    GuiConfig: GUI,
}
# Commands of IsoNet2 that this program does not have, and what to use instead.
REPLACED = {
    "FSC": "spisonet.py fsc3d HALF1 HALF2 --mask MASK for the FSC of cubic half maps and their directions, "
    "such as cubes cropped from two tomograms",
    "postprocessing": "spisonet.py fsc3d HALF1 HALF2 --mask MASK for the FSC of two half maps",
    "powerlaw_filtering": "spisonet.py whitening MAP --low_res 50 --high_res RESOLUTION",
    "star2json": "the STAR file itself, which all commands and the graphical interface read",
    "json2star": "the STAR file from which the JSON file was made, or isonet.py prepare_star",
    "simulate_noise_F": "isonet.py refine --noise_mode ramp, which makes the noise itself",
}
PROGRAMS: dict[str, Commands] = {"spisonet": SPISONET, "isonet": ISONET}
# Commands that take hours, have an output folder and can be resumed there: --submit.
SUBMITTED = (ReconstructConfig, CorrectConfig, RefineConfig, DenoiseConfig, PredictConfig)


def command_line(config: CommandConfig) -> str:
    """Return the line for a shell that runs a command."""
    return shlex.join([*program_words(config), *command_words(config)])


def program_words(config: CommandConfig) -> list[str]:
    """Return the program of a command, and its group of commands if it is in one."""
    program = ["isonet.py"] if type(config) not in {**SPISONET, **RELION, **CRYOSPARC} else ["spisonet.py"]
    groups = {"relion": RELION, "cryosparc": CRYOSPARC, "copick": COPICK}
    return [*program, *(name for name, members in groups.items() if type(config) in members)]
