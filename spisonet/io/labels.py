"""Tokens in MRC header labels: facts for programs, beside the sentence for people.

A label reads ``spisonet: both halves corrected by one network [halves=coupled]``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LABELS, LABEL_LENGTH = 10, 79  # of an MRC header
HALVES = "halves"  # whether the noise of two corrected half maps is independent
COUPLED, INDEPENDENT, SINGLE = "coupled", "independent", "single"  # values of `HALVES`
BOTH = "both"  # value of `HALVES`: the map is made of both halves and is not a half map
DATA = "data"  # quantity in the volume, if it is not a density
# Values of `DATA`.
SAMPLING_DENSITY, FSC_3D, DATA_WEIGHT = "fourier-sampling-density", "3d-fsc", "data-weight"
COUPLED_BEFORE_TOKENS = "NOT independent"  # in labels of maps that were written before tokens came in
TOKEN = re.compile(r"\[([a-z0-9-]+)=([a-z0-9-]+)\]")


def label_with_tokens(sentence: str, **tokens: str) -> str:
    """Return a header label of at most 79 characters that ends with tokens.

    Parameters
    ----------
    sentence : str
        Text for people.
    **tokens
        Values by key; lower-case letters, digits and hyphens.

    Raises
    ------
    ValueError
        If the label is too long or a token is invalid.
    """
    label = " ".join([sentence, *(f"[{key}={value}]" for key, value in tokens.items())])
    if len(label) > LABEL_LENGTH:
        raise ValueError(f"The label has {len(label)} characters, more than {LABEL_LENGTH}: {label}")
    if any(value not in read_tokens([label]).get(key, set()) for key, value in tokens.items()):
        raise ValueError(f"Invalid token in the label {label}")
    return label


def append_label(labels: Iterable[str], label: str) -> list[str]:
    """Return header labels with one more, at most ten.

    The oldest labels without tokens are left out first, then labels whose tokens others contain as well.

    Parameters
    ----------
    labels : iterable of str
        Labels, oldest first.
    label : str
        Label to add (cut to 79 characters); an empty one adds nothing.
    """
    kept = [*labels, *([label[:LABEL_LENGTH]] if label else [])]
    while len(kept) > MAX_LABELS:
        plain = [index for index, text in enumerate(kept) if not read_tokens([text])]
        repeated = [i for i in range(len(kept)) if read_tokens(kept[:i] + kept[i + 1 :]) == read_tokens(kept)]
        del kept[[*plain, *repeated, 0][0]]
    return kept


def read_tokens(labels: Iterable[str]) -> dict[str, set[str]]:
    """Return the values of every token in a map's header labels, by key."""
    found: dict[str, set[str]] = {}
    for label in labels:
        for key, value in TOKEN.findall(label):
            found.setdefault(key, set()).add(value)
    return found


def marks_coupled_halves(labels: Iterable[str]) -> bool:
    """Return whether a map's header labels say that its half and the other one are not independent."""
    labels = list(labels)
    return COUPLED in read_tokens(labels).get(HALVES, ()) or any(COUPLED_BEFORE_TOKENS in t for t in labels)


def marks_fourier_volume(labels: Iterable[str]) -> bool:
    """Return whether header labels say that a volume is in Fourier space, such as a 3D FSC."""
    return not {SAMPLING_DENSITY, FSC_3D, DATA_WEIGHT}.isdisjoint(read_tokens(labels).get(DATA, ()))


def marks_full_map(labels: Iterable[str]) -> bool:
    """Return whether a map's header labels say that it is made of both halves, so that it is no half map."""
    return BOTH in read_tokens(labels).get(HALVES, ())
