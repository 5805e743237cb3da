"""Remake knees/quality/average_knee.png from an ROI store of the open training knees.

Usage: python benchmarks/make_average_knee.py ROIS
Knees that were found inverted are left out, as they were in the first place.
"""

import sys
from pathlib import Path

import cv2

from kneegrade.knees.quality.orientation import AVERAGE_KNEE_FILE, compute_average_knee
from kneegrade.knees.store import read_index, read_roi_pixels

if __name__ == "__main__":
    store = Path(sys.argv[1])
    index = read_index(store)
    train = index[(index["split"] == "train") & ~index["flags"].str.contains("polarity")]
    average = compute_average_knee(read_roi_pixels(store, name) for name in train["roi_file"])
    cv2.imwrite(str(AVERAGE_KNEE_FILE), average)
