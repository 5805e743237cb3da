"""Attenuation -> an x-ray film: beam, scatter, detector, noise and the scanner's look."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Mask
from kneegrade.phantoms.films.scanners import Scanner

_SCATTER_GRID_MM: Final = 2.0
_SCATTER_MM: Final = 12.0
_FILM_MIDDLE: Final = 0.3
"""How far below the density of bone the middle of the film curve lies."""
_HEEL: Final = 0.10
"""By how much the beam is weaker at one end of the film than in its middle (heel effect)."""


def expose_film(
    attenuation: FloatImage,
    *,
    spacing_mm: float,
    scanner: Scanner,
    field: Mask | None = None,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Take the radiograph.

    Parameters
    ----------
    attenuation : (rows, cols) array, float32
        In nepers, 0 in air.
    spacing_mm : float
        Size of a pixel in mm.
    scanner : Scanner
    field : (rows, cols) array of bool or None
        Where the collimator lets the beam through; None: everywhere.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    (rows, cols) array, uint16 in [0, scanner.white]
        Bone bright, air black.
    """
    rows = np.linspace(-1, 1, attenuation.shape[0], dtype=np.float32)[:, None]
    beam = np.exp(-_blurred(attenuation, scanner.blur_mm / spacing_mm)) * (1 + _HEEL * rows)
    share = np.float32(scanner.scatter_share)
    beam = beam + share / (1 - share) * _scatter(beam, spacing_mm)
    incident = np.float32(scanner.photons_per_mm2 * spacing_mm**2)
    photons = beam * incident
    noise = rng.standard_normal(attenuation.shape, dtype=np.float32)
    photons = np.maximum(photons + np.sqrt(photons) * _blurred(noise, 0.6), 1)
    density = np.log(incident / photons)
    shown = _develop(density, attenuation, scanner)
    if scanner.sharpening:
        fine = shown - _blurred(shown, 0.7 / spacing_mm)
        shown = shown + np.float32(scanner.sharpening) * fine
    if field is not None and scanner.border != "none":
        edge = _blurred(field, 0.5 / spacing_mm)
        outside = np.float32(0.96 if scanner.border == "white" else 0.0)
        shown = edge * shown + (1 - edge) * outside
    return np.asarray(np.clip(np.rint(scanner.white * shown), 0, scanner.white), np.uint16)


def _develop(density: FloatImage, attenuation: FloatImage, scanner: Scanner) -> FloatImage:
    """Densities to grey values, about 0 to 1, by the film's or detector's curve."""
    thick = attenuation[::8, ::8]
    behind = thick[thick > 0.8]  # the legs, not the air beside them
    bone = np.float32(np.percentile(behind, 80)) if behind.size else np.float32(2)
    if scanner.curve == "film":
        slope = np.float32(scanner.contrast)
        shown = 1 / (1 + np.exp(-slope * (density - bone + np.float32(_FILM_MIDDLE))))
    else:
        shown = np.maximum(0.68 + np.float32(0.3 * scanner.contrast) * (density - bone), 0)
    return np.asarray(shown, np.float32)


def _blurred(image: Any, sigma_px: float) -> FloatImage:
    blurred = cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), max(sigma_px, 0.1))
    return np.asarray(blurred, np.float32)


def _scatter(beam: FloatImage, spacing_mm: float) -> FloatImage:
    """What the patient scatters, spread over 12 mm, computed on a grid of about 2 mm."""
    rows, cols = (max(round(n * spacing_mm / _SCATTER_GRID_MM), 1) for n in beam.shape)
    small = cv2.resize(beam, (cols, rows), interpolation=cv2.INTER_AREA)
    small = small * np.clip(1.1 - small, 0, 1)  # where nothing is in the beam nothing scatters
    spread = cv2.GaussianBlur(small, (0, 0), _SCATTER_MM / _SCATTER_GRID_MM)
    wide = cv2.resize(spread, beam.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32)
