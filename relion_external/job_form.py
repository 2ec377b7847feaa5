"""The form of a RELION job, as its GUI keeps it in ``job.star``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORM_FILE = "job.star"
NAME, VALUE = "rlnJobOptionVariable", "rlnJobOptionValue"
# Numbers of RELION 3.1, which later versions replaced by labels.
LABELS_OF_NUMBERS = {"9": "class3d", "10": "refine3d", "18": "initialmodel", "19": "multibody"}
EXTERNAL = "external"
EXTERNAL_NUMBER = "_rlnJobType 99\n"  # without it, RELION 3.1 does not load the form
FORM = """\
data_job

{number}_rlnJobTypeLabel relion.{label}
_rlnJobIsContinue 0
_rlnJobIsTomo 0

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
"""


def form_text(label: str, options: Mapping[str, str]) -> str:
    """Return the text of a ``job.star``; options that are left out have RELION's defaults.

    Parameters
    ----------
    label : str
        Type of the job, such as ``refine3d``.
    options : mapping
        Values by name.
    """
    rows = [f"{name} {_quoted(value)}" for name, value in options.items()]
    header = FORM.format(number=EXTERNAL_NUMBER if label == EXTERNAL else "", label=label)
    return header + "\n".join(rows) + "\n \n"


def _quoted(value: str) -> str:
    return f'"{value}"' if not value or " " in value else value


def read_form(path: Path) -> tuple[str, dict[str, str]]:
    """Return the type of a job, such as ``refine3d``, and its options by name.

    Parameters
    ----------
    path : Path
        A ``job.star`` of RELION 3.1 to 5.

    Raises
    ------
    SpisonetError
        If it is no such file.
    """
    star = StarFile(path)
    table = star.tables.get("joboptions_values")
    label = str(star.value("rlnJobTypeLabel", "") or star.value("rlnJobType", ""))
    if table is None or not label or not {NAME, VALUE} <= {*table.columns}:
        raise SpisonetError(f"{path} is not the form of a RELION job.")
    options = {
        str(name): str(value).strip('"').strip()
        for name, value in zip(table[NAME], table[VALUE], strict=True)
    }
    options["is_continued"] = "Yes" if str(star.value("rlnJobIsContinue", 0)) in ("1", "True") else "No"
    return LABELS_OF_NUMBERS.get(label, label.removeprefix("relion.").split(".")[0]), options
