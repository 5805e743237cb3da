"""Is this a knee, in the right view, without metal, whole, sharp and rightly exposed? -> flags."""
