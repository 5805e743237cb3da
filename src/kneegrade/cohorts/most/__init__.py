"""The MOST release -> knee table."""
