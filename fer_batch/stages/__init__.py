"""The steps of a run, in the order data takes: discover, sample, detect, crop, classify, write, summarize.

None imports another.
"""
