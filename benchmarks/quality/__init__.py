"""Quality of corrections on half maps with known truth: cases, scores, methods, tables and plots."""

from benchmarks.quality.cases import Case, ConeCase, Particle, ParticleCase, load_case, make_case
from benchmarks.quality.scoring import MapScore, score_map, zone_fractions, zones_rfft

__all__ = [
    "Case",
    "ConeCase",
    "MapScore",
    "Particle",
    "ParticleCase",
    "load_case",
    "make_case",
    "score_map",
    "zone_fractions",
    "zones_rfft",
]
