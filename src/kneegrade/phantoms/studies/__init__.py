"""NUMBER OF PEOPLE -> A WHOLE STUDY ON DISK, in the formats of a release."""
