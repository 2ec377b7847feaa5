"""Words that were replaced by the field's own do not come back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.checkout

# Files where they may stand: the record of what was renamed, and this list.
EXEMPT = {"CHANGELOG.md", "tests/test_words.py"}
SUFFIXES = {".cff", ".css", ".html", ".js", ".md", ".py", ".sh", ".toml"}
# Regular expressions, by what is written instead.
OLD_WORDS = {
    "FourierWeights": r"Knowledge\b|known_from_|anisotropy[./]knowledge",
    "fsc_weight, view_weight": r"consistency_rfft|\bfilling_weight",
    "TrainingJob": r"Lessons?\b",
    "TrainingConfig": r"Recipe\b",
    "filled-map self-training": r"[Rr]eplay",
    "update_missing_region": r"[Rr]efill",
    "subvolumes": r"[Cc]rops\b",
    "RotationalAveraging, rotated copies": r"TurnedCopies|\bturn_cube|[Tt]urned (copy|copies|crop)",
    "up_convolutions, down_convolutions": r"raisers\b|\blowers\b",
    "leakage_weight, local_maximum": r"void_guard|highest_nearby",
    "SamplingDensity": r"SlabDensity\b",
    "BackProjector": r"Backprojection\b",
    "Tomogram": r"Specimens?\b",
    "psf_aspect_ratio": r"[Ee]longation\b",
    "undersampled_fraction": r"sparse_share",
    "low_correlation_fraction": r"poor_share|poorly_correlated_share",
    "inconsistent_fraction": r"unexplained_share",
    "unmeasured_fraction": r"hidden_fraction|hidden_share",
    "data_weight.mrc": r"measured\.mrc",
    "skip_reason": r"reason_to_wait",
    "view_distribution": r"view_model",
    "noise_fraction_in_mask": r"noise_inside",
    "skipped": r"[Ll]eft alone",
    "switches off": r"[Ll]ets? go of",
    "predict, predictions": r"[Aa]sks the network|asked about|\b[Aa]nswers? to\b|single_answers",
    "is not a number": r"is no (number|command|list)\b",
    "whiten, directional_whitening": r"flatten_amplitudes|equalise_power_over_directions",
    "directional_amplitude_equalisation": r"lift_weak_directions",
    "Backend, ProcessGroup": r"class (Execution|Processes)\b",
}


def text_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.split("\0") if name and name not in EXEMPT]
    return [path for name in names if (path := ROOT / name).suffix in SUFFIXES and path.is_file()]


def test_old_words_are_gone():
    # One lookbehind for all patterns makes the search fast.
    old = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(OLD_WORDS.values())})")
    found = []
    for path in text_files():
        text = path.read_text(encoding="utf-8")
        for match in old.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}")
    assert not found, "\n".join(found)
