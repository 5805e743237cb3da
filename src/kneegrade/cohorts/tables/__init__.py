"""The knee table: its columns, reading and writing, counts, folds."""
