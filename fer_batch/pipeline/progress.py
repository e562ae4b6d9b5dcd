"""How far a run is: a bar on the terminal, with an estimate of its end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from fer_batch.pipeline.stats import Processed
from fer_batch.records import FileResult, FrameChunk, Media


class Progress:
    """A context manager that shows a bar over the bytes of all files, and nothing where stderr is no terminal.

    Bytes, since files differ: of a hundred photos and a video, the video is what the end has to wait for. Of a video in
    progress, the share of its duration that has been sampled counts.
    """

    def __init__(self, media: Sequence[Media], enabled: bool) -> None:
        self._files = len(media)
        self._read: dict[str, int] = {}
        size = sum(file.size_bytes for file in media)
        # Estimated from the whole run so far: bytes come in bursts, which a moving average would follow.
        self._bar = tqdm(total=size, unit="B", unit_scale=True, smoothing=0.0, disable=None if enabled else True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def advance(self, message: FrameChunk | FileResult, processed: Processed) -> None:
        """Move on by a message. `processed`: what the run has processed, with this."""
        media = message.media
        before = self._read.pop(media.path, 0)
        after = media.size_bytes
        if isinstance(message, FrameChunk):
            # Never back: the same frames may come again, if their worker has died.
            self._read[media.path] = after = max(before, round(after * _share(message)))
        counts = f"{processed.files} of {self._files} files, {processed.failed} failed"
        self._bar.set_postfix_str(f"{counts}, {processed.media_seconds:.0f} s of video", refresh=False)
        self._bar.update(after - before)


def _share(chunk: FrameChunk) -> float:
    """Where in its file a chunk ends, 0..1; 0 where that is not known."""
    if not chunk.frames or not chunk.duration_s:
        return 0.0
    return min(1.0, float(chunk.frames[-1].time or 0) / chunk.duration_s)
