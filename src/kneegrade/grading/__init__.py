"""KneeROI -> KneePrediction."""
