"""The tables of two runs, read and compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

KEYS = {
    "faces": ["media_path", "sample_index", "face_index"],
    "frames": ["media_path", "sample_index"],
    "media": ["media_path"],
}


def rows(out: Path, table: str) -> pd.DataFrame:
    """A table in a fixed order, without how long it took."""
    frame = pq.ParquetDataset(out / table).read().to_pandas().sort_values(KEYS[table], ignore_index=True)
    return frame.drop(columns="processing_s", errors="ignore").astype(
        {name: str for name in ("media_type", "emotion", "status") if name in frame}
    )


def assert_same_rows(one: Path, other: Path) -> None:
    for table in KEYS:
        pd.testing.assert_frame_equal(rows(one, table), rows(other, table), atol=1e-5, rtol=0)
    for name in ("overall", "by_media", "timeline"):
        left, right = (pd.read_parquet(out / "summary" / f"{name}.parquet") for out in (one, other))
        pd.testing.assert_frame_equal(left, right, atol=1e-5, rtol=0)
