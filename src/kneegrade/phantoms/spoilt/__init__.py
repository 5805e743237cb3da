"""A picture of a knee -> A SPOILT ONE: metal, motion, letters, too many knees, no knee."""
