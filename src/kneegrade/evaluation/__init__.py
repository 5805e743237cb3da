"""Prediction table -> tables and figures: agreement with the readers, and how sure of it we are."""
