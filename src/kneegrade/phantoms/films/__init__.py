"""OUTLINES OF KNEES -> A FILM as a scanner shows it."""
