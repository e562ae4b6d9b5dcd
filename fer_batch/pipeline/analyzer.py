"""Single pictures, with the detector and the model of a run, in the process that asks."""

from __future__ import annotations

import logging
import os
import struct
from threading import Lock
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fer_batch import storage
from fer_batch.emotion.classifier import Classifier
from fer_batch.errors import PictureError, UsageError
from fer_batch.media.image import frame_from_image
from fer_batch.pipeline.discover import discover
from fer_batch.pipeline.resolve import resolve_detector, resolve_model
from fer_batch.pipeline.worker import Settings, Worker
from fer_batch.records import Code, FileResult, Frame, FrameChunk, Media, Task
from fer_batch.run_config import RunConfig
from fer_batch.tables.schema import ClassifiedChunk, chunk_tables

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class PictureAnalyzer:
    """Loads a detector and an emotion model once. Threads may call it; they take turns."""

    def __init__(self, config: RunConfig) -> None:
        """Load what the configuration names. Raises UsageError where that fails."""
        folder, _, self._labels = resolve_model(config)
        threads = cv2.getNumThreads()
        self._worker = Worker(Settings(config.sampling, resolve_detector(config)))
        cv2.setNumThreads(threads)  # A worker process wants one; this process is the caller's.
        self._classifier = Classifier(folder, self._labels, config.batch_size, config.device)
        self._lock = Lock()

    def __call__(self, picture: str | os.PathLike[str] | Image.Image | NDArray[np.uint8]) -> pd.DataFrame:
        """The faces of a picture; see `fer_batch.analyze`."""
        with self._lock:
            chunks = self._chunks(picture)
            classified = [ClassifiedChunk(chunk, self._classifier(chunk.crops)) for chunk in chunks]
        table: pd.DataFrame = chunk_tables(classified, self._labels)["faces"].to_pandas()
        return table

    def _chunks(self, picture: str | os.PathLike[str] | Image.Image | NDArray[np.uint8]) -> list[FrameChunk]:
        if not isinstance(picture, str | os.PathLike):
            frame = _frame_of(picture, self._worker.needs_colour)
            return [self._worker.process_image(Media("", "", "image", 0, 0), frame)]
        messages = list(self._worker.process(Task((_media_of(os.fspath(picture)),))))
        (result,) = (message for message in messages if isinstance(message, FileResult))
        if (failure := result.failure) is not None:
            if result.failed:
                raise PictureError(f"{failure.message} [{failure.code.value}]")
            log.warning("%s [%s]", failure.message, failure.code.value)
        return [message for message in messages if isinstance(message, FrameChunk)]


def _media_of(file: str) -> Media:
    try:
        file = str(storage.location(file))
        if not storage.exists(file):
            raise UsageError(f"{file}: no such file; check the path")
        if storage.is_dir(file):
            raise UsageError(f"{file}: is a folder; give one picture, or use fer_batch.run")
    except OSError as error:  # Such as a store that gives no access.
        raise PictureError(f"{file}: can't be read ({error}) [{Code.UNREADABLE.value}]") from error
    (media,) = discover([file])
    if media.media_type == "video":
        raise UsageError(f"{file}: is a video; give one picture, or use fer_batch.run")
    return media


def _frame_of(picture: Image.Image | NDArray[np.uint8], colour: bool) -> Frame:
    """A picture in memory as a frame: upright, gray and, on request, in colour."""
    image = picture if isinstance(picture, Image.Image) else _image_of(picture)
    if 0 in image.size:
        raise UsageError(f"picture: {image.width} x {image.height} pixels; give one that has some")
    try:
        image.load()  # Pillow reads the pixels only now, of a file that may be damaged, or closed already.
        image = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise PictureError(f"picture: can't be decoded ({error}) [{Code.INVALID_DATA.value}]") from error
    return frame_from_image(image, colour)


def _image_of(picture: object) -> Image.Image:
    """An array as a Pillow image. Whatever has `__array__` is one: NumPy's, tensors, data frames."""
    if not hasattr(picture, "__array__"):
        found = type(picture).__name__
        raise UsageError(
            f"picture: must be a path, a Pillow image or an array, not {found}; give one picture at a time"
        )
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        found = f"{array.dtype} of shape {array.shape}"
        raise UsageError(f"picture: must be uint8, (height, width) or RGB (height, width, 3), not {found}")
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)
