"""Radiograph -> KneeROI."""
