"""Landmarks -> STANDARD POSE -> KneeROI."""
