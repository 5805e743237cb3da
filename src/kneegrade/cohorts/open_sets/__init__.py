"""Openly published sets of knees -> knee table."""
