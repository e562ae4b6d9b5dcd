"""Draws one image from what the tables say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_batch.media.image import read_image
from fer_batch.preview.blur import blur
from fer_batch.preview.blur_check import MOST_DRAWINGS, BlurCheck, found_in_picture
from fer_batch.preview.drawing import draw_faces
from fer_batch.preview.face_finder import face_finders
from fer_batch.preview.options import Drawn, DrawOptions
from fer_batch.preview.picture_size import resized
from fer_batch.preview.samples import Box, DrawnFace, Samples
from fer_batch.preview.strip import Strip
from fer_batch.storage import open_file

_JPEG_QUALITY = 90


def draw_image(file: str, name: str, samples: Samples, options: DrawOptions, target: Path, signature: str) -> Drawn:
    """Draw an image as JPEG; nothing of its metadata is kept. Arguments, result and errors: as of `draw_video`."""
    _, frame, _ = read_image(file, colour=True)
    assert frame.bgr is not None
    picture = resized(frame.bgr)
    faces = samples.faces_at(0.0)
    if options.blur:
        blur_faces(picture, faces)
    draw_faces(picture, faces, arrows=not options.blur)
    strip = Strip(picture.shape[1], picture.shape[0], name, samples, (0.0, 0.0))
    canvas = np.vstack([picture, strip.draw(0.0)])
    if options.blur:
        return Drawn(check=write_blurred_jpeg(canvas, target, signature))
    write_jpeg(canvas, target, signature)
    return Drawn()


def blur_faces(picture: NDArray[np.uint8], faces: list[DrawnFace]) -> None:
    """Blur the faces of the tables in one picture, uint8 (h, w, 3), BGR, in place, and those that are found in it."""
    boxes: list[Box] = [box for _, box in face_finders()[0].find(picture)]
    blur(picture, [*boxes, *(face.box for face in faces)])


def write_jpeg(picture: NDArray[np.uint8], target: Path, signature: str = "") -> None:
    """Write a picture, uint8 (h, w, 3), BGR. `signature`: what it is made of, kept as its comment."""
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    with target.open("wb") as stream:
        image.save(stream, "JPEG", quality=_JPEG_QUALITY, comment=signature.encode())


def write_blurred_jpeg(picture: NDArray[np.uint8], target: Path, signature: str = "") -> BlurCheck:
    """Write a picture in which faces are blurred. What the detector still finds in what was written is blurred as well,
    in place. Arguments: as of `write_jpeg`. Returns what is found in the end."""
    for _ in range(MOST_DRAWINGS):
        write_jpeg(picture, target, signature)
        check = BlurCheck()
        with Image.open(target) as written:
            left = check.count(found_in_picture(np.ascontiguousarray(np.asarray(written)[:, :, ::-1])))
        if not check.faces:
            break
        blur(picture, left)
    return check


def signature_of_image(path: Path) -> str | None:
    """What a JPEG was made of, as `write_jpeg` was told; None for another file. Raises OSError where it can't be
    read."""
    with open_file(str(path)) as stream, Image.open(stream) as image:
        comment = image.info.get("comment")
        return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else None
