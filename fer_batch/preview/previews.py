"""Draws what a run saw: an MP4 for each video, a JPEG for each image."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from av.error import FFmpegError
from tqdm import tqdm

from fer_batch.analysis.summarize import table_labels
from fer_batch.atomic import atomic_file
from fer_batch.log import one_line
from fer_batch.preview.blur_check import BlurCheck
from fer_batch.preview.contact_sheet import SHEET_FILE, contact_sheet
from fer_batch.preview.image import draw_image, signature_of_image, write_blurred_jpeg, write_jpeg
from fer_batch.preview.options import DrawOptions
from fer_batch.preview.sources import Source, read_samples, read_sources
from fer_batch.preview.video import draw_video
from fer_batch.preview.writer import encoder, signature_of_video
from fer_batch.records import MediaError, MediaType
from fer_batch.tables.parts import committed_parts

log = logging.getLogger(__name__)

#: Raised when the drawing changes, so that previews made before are made again.
_VERSION = 3
_BAR = "{l_bar}{bar}| {n:.0f}/{total_fmt} s [{elapsed}<{remaining}{postfix}]"
_SUFFIXES = {"image": ".preview.jpg", "video": ".preview.mp4"}
#: A full disk or one that can't be written to is no fault of the file that is being drawn.
_OF_THE_DISK = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EROFS])


def preview(
    directory: Path,
    folder: Path,
    globs: Sequence[str] = (),
    options: DrawOptions | None = None,
    moved_to: str | None = None,
    progress: bool = True,
) -> bool:
    """Draw the media of a run. What is there already and fits is kept.

    Args:
        directory: The run's folder.
        folder: Where previews go, by the paths of the tables.
        globs: Which files, by path or bare name; all if there are none.
        options: What is drawn.
        moved_to: The folder in which the media lie now; None: where the run found them.
        progress: Whether a bar is shown.

    Returns:
        Whether all could be drawn.

    Raises:
        UsageError: For a glob that matches no file.
        OSError: Where the folder can't be written to.
    """
    options = options or DrawOptions()
    labels = table_labels(directory, committed_parts(directory))
    sources = read_sources(directory, globs, moved_to)
    if any(source.media_type == "video" for source in sources) and encoder() != "libx264":
        log.warning("this FFmpeg has no libx264: videos are written as MPEG-4 Part 2, which browsers don't play")
    counts, checked = {"drawn": 0, "kept": 0, "failed": 0}, BlurCheck()
    total = sum(_seconds(source, options) for source in sources)
    # Seconds of video, since files differ; an image counts as one.
    with tqdm(total=round(total), bar_format=_BAR, disable=None if progress else True) as bar:
        for source in sources:
            bar.set_postfix_str(one_line(source.path), refresh=False)
            before = bar.n
            outcome, check = _draw(directory, source, folder, options, labels, bar.update)
            counts[outcome] += 1
            bar.update(_seconds(source, options) - (bar.n - before))
            _warn_of_faces(source.path, check)
            checked += check
    log.info("%d drawn, %d there already, %d failed; in %s", *counts.values(), folder)
    if checked.pictures:
        log.info("found %s", checked)
    return not counts["failed"]


def preview_moments(
    directory: Path, folder: Path, globs: Sequence[str] = (), blur: bool = False, moved_to: str | None = None
) -> bool:
    """Write the contact sheet of a run's moments into a folder. Arguments, result and errors: as of `preview`."""
    labels = table_labels(directory, committed_parts(directory))
    sources = read_sources(directory, globs, moved_to)
    sheet, all_done = contact_sheet(directory, sources, labels, blur)
    target = folder / SHEET_FILE
    if sheet is None:
        target.unlink(missing_ok=True)
        log.warning("%s: no moment to show; the report says why none stands out", directory)
        return all_done
    with atomic_file(target) as temporary:
        if blur:
            check = write_blurred_jpeg(sheet, temporary)
            _warn_of_faces(SHEET_FILE, check)
            log.info("found %s", check)
        else:
            write_jpeg(sheet, temporary)
    log.info("wrote %s", target)
    return all_done


def preview_path(folder: Path, source: Source) -> Path:
    """Where the preview of a file is kept: by its whole name, so that no two files share one."""
    parts = [part for part in PurePosixPath(source.path).parts if part not in ("/", "..")]
    return folder.joinpath(*parts[:-1], parts[-1] + _SUFFIXES[source.media_type])


def _draw(
    directory: Path,
    source: Source,
    folder: Path,
    options: DrawOptions,
    labels: Sequence[str],
    advance: Callable[[float], object],
) -> tuple[str, BlurCheck]:
    """Draw one file, unless it is there; how that went, and what is found in it where faces are blurred."""
    target, signature = preview_path(folder, source), _signature(source, options)
    try:
        source.check()
        if target.is_file() and _signature_in(target, source.media_type) == signature:
            return "kept", BlurCheck()
        samples = read_samples(directory, source, labels)
        with atomic_file(target) as temporary:
            if source.media_type == "image":
                drawn = draw_image(source.file, source.path, samples, options, temporary, signature)
            else:
                drawn = draw_video(source.file, source.path, samples, options, temporary, signature, advance)
    except MediaError as error:
        log.warning("%s", one_line(f"{source.path}: {error}"))
        return "failed", BlurCheck()
    except (OSError, FFmpegError) as error:
        if getattr(error, "errno", None) in _OF_THE_DISK:
            raise
        log.warning("%s", one_line(f"{source.path}: can't be drawn ({error})"))
        return "failed", BlurCheck()
    if drawn.lost is not None:
        log.warning("%s", one_line(f"{source.path}: drawn in part; {drawn.lost}"))
    return "drawn", drawn.check


def _warn_of_faces(name: str, check: BlurCheck) -> None:
    if check.faces:
        log.warning("%s: look at its preview before you hand it on; found %s", one_line(name), check)


def _signature(source: Source, options: DrawOptions) -> str:
    """What a preview is made of, as text: the same source, tables and options give the same."""
    wanted = asdict(options) if source.media_type == "video" else options.blur
    made_of = [_VERSION, wanted, source.size_bytes, source.modified.isoformat(), source.fingerprint]
    return f"fer-batch preview {hashlib.sha256(json.dumps(made_of).encode()).hexdigest()}"


def _signature_in(target: Path, media_type: MediaType) -> str | None:
    """The signature that a preview holds; None where it can't be read."""
    try:
        return signature_of_image(target) if media_type == "image" else signature_of_video(target)
    except (OSError, ValueError):  # FFmpeg's errors are one or the other.
        return None


def _seconds(source: Source, options: DrawOptions) -> float:
    """How long a file counts in the bar."""
    if source.media_type == "image":
        return 1.0
    length = source.duration_s or 0.0
    return max(0.0, min(length, options.end or length) - options.start)
