"""PREDICTION TABLE -> TABLES AND FIGURES: agreement with the readers, and how sure it is."""
