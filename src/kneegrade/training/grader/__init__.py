"""KNEE TABLE AND ROIs -> a trained grading network."""
