"""Anatomy and severity -> the outlines of a knee."""
