"""FSC of half maps measured among Fourier coefficients that are sampled alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from spisonet.analysis.correlation_ratio import correlation_ratios, indices_of_shells, sample_shells

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES_PER_SHELL = 4000
MAX_BINS = 20  # of the SSNR in a shell
MIN_COEFFICIENTS, MAX_COEFFICIENTS = 120, 600  # in a bin
MAX_NEIGHBOURS = 4  # shells on each side that a shell with few coefficients is measured with
# Candidates for the FSC of a bin, finer near 1 where the SSNR rises fast.
CANDIDATES = np.concatenate([np.linspace(0, 0.9, 46), 1 - np.geomspace(0.09, 0.0005, 40)])
MIN_SSNR = 1e-6
SIGNIFICANT = 4.0  # difference of log-likelihoods from that of an FSC of 0


def measure_fsc_by_ssnr(
    spectrum1: NDArray[np.complex64],
    spectrum2: NDArray[np.complex64],
    ssnr_rfft: NDArray[np.float32],
    first_shell: int,
    last_shell: int,
) -> NDArray[np.float32]:
    """Measure the FSC of half maps among the coefficients of a shell that have similar predicted SSNR.

    A `ViewDistribution` predicts that the SSNR of a shell is proportional to the sampling density.
    Interpolation and the division by the weights of a reconstruction change this law: noise increases faster
    than the density decreases, and errors of the poses move signal between directions. The prediction is
    used only to rank the coefficients of a shell. In each of up to 20 bins of rank the FSC is estimated by
    maximum likelihood from the ratios ``R`` (see `spisonet.analysis.correlation_ratio`), which do not
    depend on the local power. Where it is not significantly above 0, the predicted FSC is its upper limit,
    because repeated constraints amplify what little weight noise is given. The FSC is made to increase with
    the rank (isotonic regression) and interpolated.

    Parameters
    ----------
    spectrum1, spectrum2 : ndarray
        ``(n, n, n // 2 + 1)`` half spectra of the unmasked half maps.
    ssnr_rfft : ndarray
        ``(n, n, n // 2 + 1)`` predicted SSNR.
    first_shell, last_shell : int
        Shells in which the FSC is measured; it is 0 elsewhere.

    Returns
    -------
    ndarray
        ``(n, n, n // 2 + 1)`` in 0..1.
    """
    n = len(ssnr_rfft)
    samples = sample_shells(n, first_shell, last_shell, SAMPLES_PER_SHELL)
    ratios = correlation_ratios(spectrum1, spectrum2, samples)
    log_ssnr = np.log(np.maximum(ssnr_rfft, MIN_SSNR)).reshape(-1)
    measured = np.zeros(log_ssnr.shape, dtype=np.float32)
    for number, members in enumerate(indices_of_shells(n, first_shell, last_shell)):
        window = _window(samples, number)
        index = np.concatenate([samples[i] for i in window])
        ranks, fsc = _fsc_by_rank(log_ssnr[index], np.concatenate([ratios[i] for i in window]))
        measured[members] = np.interp(log_ssnr[members], ranks, fsc)
    return measured.reshape(ssnr_rfft.shape)


def _window(shells: list[NDArray[np.int64]], number: int) -> range:
    """Shells around one shell that have enough coefficients together: at least one on each side."""
    for reach in range(1, MAX_NEIGHBOURS + 1):
        window = range(max(0, number - reach), min(len(shells), number + reach + 1))
        if sum(len(shells[i]) for i in window) >= 4 * MIN_COEFFICIENTS:
            break
    return window


def _fsc_by_rank(
    log_ssnr: NDArray[np.floating], ratio: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean logarithm of the SSNR and the FSC of each bin, both increasing."""
    n_bins = int(np.clip(len(ratio) // MIN_COEFFICIENTS, 1, MAX_BINS))
    means, fsc, sizes = [], [], []
    for part in np.array_split(np.argsort(log_ssnr, kind="stable"), n_bins):
        sample = part[np.linspace(0, len(part) - 1, min(len(part), MAX_COEFFICIENTS)).astype(np.int64)]
        slopes = 1 - 2 * ratio[sample].astype(np.float64)
        likelihood = len(slopes) * np.log1p(-np.square(CANDIDATES)) - 2 * np.log1p(
            slopes[:, None] * CANDIDATES
        ).sum(axis=0)
        means.append(float(log_ssnr[part].mean()))
        best = int(np.argmax(likelihood))
        predicted = 1 / (1 + float(np.exp(-means[-1])))
        is_significant = likelihood[best] - likelihood[0] > SIGNIFICANT
        fsc.append(CANDIDATES[best] if is_significant else min(CANDIDATES[best], predicted))
        sizes.append(len(part))
    return np.array(means), np.asarray(isotonic_regression(fsc, weights=sizes).x)
