"""A RELEASE ON DISK -> ITS TABLES, CELLS AND FILMS: what all releases share."""
