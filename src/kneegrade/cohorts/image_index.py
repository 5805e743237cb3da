"""Which file holds which film: the way in to the folders of both studies."""

from kneegrade.cohorts.most_films import MostFilms, scan_most_films
from kneegrade.cohorts.oai_films import (
    OaiFilms,
    find_oai_films,
    normalise_barcode,
    scan_oai_films,
)

__all__ = [
    "MostFilms",
    "OaiFilms",
    "find_oai_films",
    "normalise_barcode",
    "scan_most_films",
    "scan_oai_films",
]
