"""LANDMARK FILES -> Landmarks."""
