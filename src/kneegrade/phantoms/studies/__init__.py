"""Whole studies of phantoms on disk, in the formats of a release."""
