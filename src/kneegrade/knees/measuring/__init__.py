"""Radiograph AND Landmarks -> WIDTHS, AREAS AND ANGLES."""
