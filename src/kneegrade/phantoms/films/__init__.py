"""Outlines -> a film as a scanner shows it."""
