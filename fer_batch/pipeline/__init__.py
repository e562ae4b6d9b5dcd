"""A run: find media, sample, detect, crop and follow faces in workers, classify, write."""
