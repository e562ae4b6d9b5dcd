"""Face detectors behind one Protocol, an adapter a file. This module loads none of them."""

from __future__ import annotations

from fer_batch.config import DETECTORS, DetectorConfig
from fer_batch.detection.base import Detector
from fer_batch.errors import UsageError
from fer_batch.suggestions import did_you_mean


def create_detector(config: DetectorConfig) -> Detector:
    """The detector that a configuration names. Raises UsageError where its model can't be loaded."""
    if config.name == "embedded":
        from fer_batch.detection.builtin import EmbeddedDetector

        return EmbeddedDetector(config)
    if config.name == "haar":
        from fer_batch.detection.haar import HaarDetector

        return HaarDetector(config)
    if config.name == "yunet":
        from fer_batch.detection.yunet import YuNetDetector

        return YuNetDetector(config)
    raise UsageError(
        f"--detector {config.name}: is none of {', '.join(DETECTORS)}{did_you_mean(config.name, DETECTORS)}"
    )
