"""What spoils a picture: metal, motion, letters, no knee."""
