"""A VERB AND ITS OPTIONS -> what it does: one file a verb."""
