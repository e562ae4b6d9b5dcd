"""Batch media analytics: apparent facial expressions in folders of images and videos, as Parquet tables."""
