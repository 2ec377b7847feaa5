"""Quality of corrections on half maps with known truth: cases, scores, methods, tables and plots."""

from benchmarks.quality.cases import Case, ConeCase, Particle, ParticleCase, load_case, make_case
from benchmarks.quality.methods import METHODS, CorrectedMaps, Method, Training, register
from benchmarks.quality.plots import plot_maps, plot_scores
from benchmarks.quality.profiles import PROFILES, Profile
from benchmarks.quality.scoring import MapScore, score_map, zone_fractions, zones_rfft
from benchmarks.quality.suite import Result, Sources, read_results, run_suite, with_seeds
from benchmarks.quality.tables import Comparison, case_table, compare, summary_table

__all__ = [
    "METHODS",
    "PROFILES",
    "Case",
    "Comparison",
    "ConeCase",
    "CorrectedMaps",
    "MapScore",
    "Method",
    "Particle",
    "ParticleCase",
    "Profile",
    "Result",
    "Sources",
    "Training",
    "case_table",
    "compare",
    "load_case",
    "make_case",
    "plot_maps",
    "plot_scores",
    "read_results",
    "register",
    "run_suite",
    "score_map",
    "summary_table",
    "with_seeds",
    "zone_fractions",
    "zones_rfft",
]
