"""The configuration of a run in a temporary folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fer_batch.config import DetectorConfig, ModelId, ResolvedConfig, Sampling
from fer_batch.emotions import EMOTIONS


def config(tmp_path: Path, **changes: Any) -> ResolvedConfig:
    (tmp_path / "in").mkdir(exist_ok=True)
    made = ResolvedConfig(
        sampling=Sampling(),
        detector=DetectorConfig(),
        model_folder=tmp_path / "model",
        model=ModelId("m", "1", "00", "0" * 64),
        labels=EMOTIONS,
        inputs=(str(tmp_path / "in"),),
        out=tmp_path / "out",
        progress=False,
    )
    return replace(made, **changes)
