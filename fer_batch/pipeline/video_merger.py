"""Join what the sections of a video gave, in order: frames are numbered and faces followed through the whole video.

It runs in the main process, since a face may go from one section to the next; without pictures it is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.tracker import Tracker
from fer_batch.records import REMARKS, Ahead, Failure, MediaInfo, Piece, Prepared, SampledFrame


class Film:
    """One video. Takes what workers give, section by section in any order, and gives what one worker that read all of
    it would have given, with tracks."""

    def __init__(self, sections: int = 1) -> None:
        self._sections = sections
        #: What came of sections that are not yet whole, and of whole ones that wait for those before them.
        self._gathered: dict[int, list[Piece]] = {}
        self._whole: dict[int, tuple[list[Piece], Prepared]] = {}
        #: The section whose turn it is; all of them once the file is through.
        self.next = 0
        self._info = MediaInfo()
        self._failures: list[Failure] = []
        self._seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._tracker = Tracker()
        self._ahead = Ahead()
        self._cuts = 0
        self._last: SampledFrame | None = None

    def add(self, given: Piece | Prepared) -> Iterator[Piece | Prepared]:
        """Take in a result of a worker. Those of a section come in order; of a section that is tried again, anew."""
        if self.next == self._sections:
            return
        if self._sections == 1:
            yield self._of_whole(given)
        elif isinstance(given, Piece):
            self._gathered.setdefault(given.section, []).append(given)
        elif given.broken:
            self.next = self._sections
            yield given
        else:
            pieces = self._gathered.pop(given.section, [])
            self._whole[given.section] = pieces[len(pieces) - given.ahead.pieces :], given
            while self.next in self._whole:
                yield from self._pass_on(*self._whole.pop(self.next))

    def _of_whole(self, given: Piece | Prepared) -> Piece | Prepared:
        """What was read by one worker streams through, so that nothing of a long video is kept."""
        begins = given.ahead.pieces == 0 if isinstance(given, Prepared) else given.frames[0].sample_index == 0
        if begins:
            self._begin()
        frames, crops = self._follow(given)
        if isinstance(given, Prepared):
            self.next = 1
            return replace(given, frames=frames, crops=crops, ahead=self._ahead)
        self._ahead = _longer(self._ahead, frames)
        return replace(given, frames=frames, crops=crops)

    def _pass_on(self, pieces: list[Piece], last: Prepared) -> Iterator[Piece | Prepared]:
        """The next section is whole: its pieces and, if it was the last one, the end of the file."""
        if self.next == 0:
            self._info = last.info
        self._seconds += last.processing_s
        self._failures += [last.failure] if last.failure else []
        parts: list[Piece | Prepared] = [*pieces, last]
        for part in parts:
            frames, crops = self._follow(part)
            if part is last and self.next == self._sections - 1:
                info = replace(self._info, duration_s=last.info.duration_s)
                failure = _joined(self._failures)
                yield Prepared(last.media, info, frames, crops, failure, self._seconds, self._ahead, cuts=self._cuts)
            elif frames:
                length = part.length_s if isinstance(part, Piece) else part.info.duration_s
                yield Piece(last.media, frames, crops, length)
                self._ahead = _longer(self._ahead, frames)
        self._cuts += last.cuts
        self.next += 1

    def _follow(self, part: Piece | Prepared) -> tuple[tuple[SampledFrame, ...], NDArray[np.uint8]]:
        """The frames of a part, numbered, with tracks, and the crops of the faces that are left."""
        followed: list[SampledFrame] = []
        crops: list[NDArray[np.uint8]] = []
        at = 0
        for frame in part.frames:
            assert frame.time is not None
            faces = list(zip(frame.faces, part.crops[at : at + len(frame.faces)], strict=True))
            at += len(faces)
            if self._last is not None and frame.time == self._last.time and not followed and not frame.sample_index:
                continue  # The picture at the border was given by both sections.
            scene, index = self._cuts + frame.scene, self._ahead.frames + len(followed)
            tracked = self._tracker(float(frame.time), scene, faces, (frame.width, frame.height))
            followed.append(replace(frame, sample_index=index, faces=tuple(face for face, _ in tracked), scene=scene))
            crops += [crop for _, crop in tracked]
        self._last = followed[-1] if followed else self._last
        return tuple(followed), np.stack(crops) if crops else part.crops[:0]


def _longer(ahead: Ahead, frames: tuple[SampledFrame, ...]) -> Ahead:
    faces = sum(len(frame.faces) for frame in frames)
    return Ahead(ahead.pieces + 1, ahead.frames + len(frames), ahead.faces + faces)


def _joined(failures: list[Failure]) -> Failure | None:
    """What is to be said of the file: the first of what was lost, or else of what is odd, and that there is more."""
    distinct = sorted(dict.fromkeys(failures), key=lambda failure: failure.code in REMARKS)
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    return replace(distinct[0], message=f"{distinct[0].message}; and more in {len(distinct) - 1} later sections")
