"""A trained network on disk -> a function on arrays."""
