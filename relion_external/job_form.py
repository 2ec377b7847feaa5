"""The form of a RELION job, as its GUI keeps it in ``job.star``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spisonet.errors import SpisonetError
from spisonet.io.star import StarFile

if TYPE_CHECKING:
    from pathlib import Path

FORM_FILE = "job.star"
NAME, VALUE = "rlnJobOptionVariable", "rlnJobOptionValue"
# Numbers of RELION 3.1, which later versions replaced by labels.
LABELS_OF_NUMBERS = {"9": "class3d", "10": "refine3d", "18": "initialmodel", "19": "multibody"}


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
