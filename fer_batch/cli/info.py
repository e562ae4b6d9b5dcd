"""What `fer-batch info` tells: versions, devices, models, decoders."""

from __future__ import annotations

from typing import Any

import av
import cv2

from fer_batch import resources
from fer_batch.config import DETECTORS
from fer_batch.detection.model_folder import ONNX_FILE, read_detector
from fer_batch.emotion.device import prepare_device
from fer_batch.emotion.model_folder import read_config
from fer_batch.model_folder import WEIGHTS_FILE, embedded_folder
from fer_batch.tables.run_file import package_versions

#: The decoders that footage commonly needs, by FFmpeg's names.
_COMMON_DECODERS = (
    "h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "mjpeg",
    "prores", "dnxhd", "vc1", "wmv3", "theora", "gif", "flv", "rawvideo",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Plain values for JSON. Imports TensorFlow to see the devices."""
    models = {path.parent.name: read_config(path.parent) for path in embedded_folder().glob(f"*/{WEIGHTS_FILE}")}
    detectors = {path.parent.name: read_detector(path.parent) for path in embedded_folder().glob(f"*/{ONNX_FILE}")}
    available = resources.available_resources()
    return {
        "versions": {**package_versions(), "opencv": cv2.__version__, "ffmpeg": av.ffmpeg_version_info},
        "device": prepare_device("auto"),
        "workers": {"default": available.workers, "reason": available.reason},
        "detectors": list(DETECTORS),
        "models": {
            name: {
                "version": model.version,
                "architecture": model.architecture,
                "sha256": model.weights_sha256,
                "int8_sha256": model.int8_sha256,
            }
            for name, model in sorted(models.items())
        }
        | {
            name: {"version": model.version, "sha256": model.onnx_sha256, "int8_sha256": model.int8_sha256}
            for name, model in sorted(detectors.items())
        },
        "video_decoders": [name for name in _COMMON_DECODERS if name in av.codecs_available],
    }
