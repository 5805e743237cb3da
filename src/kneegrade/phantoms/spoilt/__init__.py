"""AN IMAGE OF A KNEE -> A SPOILT ONE: metal, motion, letters, too many knees, no knee."""
