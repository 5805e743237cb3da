"""A RADIOGRAPH FILE -> Radiograph."""
