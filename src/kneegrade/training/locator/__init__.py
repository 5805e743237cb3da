"""Pictures with landmarks -> a trained landmark network."""
