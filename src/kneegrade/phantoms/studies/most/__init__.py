"""A study of phantoms in the formats of MOST."""
