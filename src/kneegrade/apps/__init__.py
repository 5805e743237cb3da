"""RESULTS <-> THE OUTSIDE WORLD: the command line, pages."""
