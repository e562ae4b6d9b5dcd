"""How far a run is: a bar on the terminal, with an estimate of its end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from fer_batch.pipeline.stats import Processed
from fer_batch.records import Media, Piece, Prepared


class Progress:
    """A context manager that shows a bar over the bytes of all files, and nothing where stderr is no terminal.

    Bytes, since files differ: of a hundred photos and a film, the film is what the end has to wait for. Of a film under
    way as many count as its pieces have come along its length.
    """

    def __init__(self, media: Sequence[Media], wanted: bool) -> None:
        self._files = len(media)
        self._read: dict[str, int] = {}
        size = sum(one.size_bytes for one in media)
        # Estimated from the whole run so far: bytes come in bursts, of which a moving average would make anything.
        self._bar = tqdm(total=size, unit="B", unit_scale=True, smoothing=0.0, disable=None if wanted else True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def advance(self, result: Piece | Prepared, done: Processed) -> None:
        """Move on by what a worker gave. `done`: what the run has gone through, with this."""
        media = result.media
        before = self._read.pop(media.path, 0)
        after = media.size_bytes
        if isinstance(result, Piece):
            # Never back: a piece may come again, if its worker died since.
            self._read[media.path] = after = max(before, round(after * _share(result)))
        told = f"{done.files} of {self._files} files, {done.failed} failed, {done.media_seconds:.0f} s of video"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(after - before)


def _share(piece: Piece) -> float:
    """How far into its file a piece leads, 0..1; 0 where that is not known."""
    if not piece.frames or not piece.length_s:
        return 0.0
    return min(1.0, float(piece.frames[-1].time or 0) / piece.length_s)
