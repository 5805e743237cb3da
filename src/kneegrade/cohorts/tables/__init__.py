"""ROWS OF KNEES -> KNEE TABLE: its columns, reading and writing, counts, folds."""
