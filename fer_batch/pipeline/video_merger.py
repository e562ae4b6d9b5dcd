"""Merge the sections of a video in order: frames are numbered and faces tracked through the whole video.

It runs in the main process, since a face may go from one section to the next; without pictures it is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.tracker import Tracker
from fer_batch.records import REMARKS, Failure, FileResult, FrameChunk, MediaInfo, SampledFrame

#: The attempt of merged messages: of several sections, each read by as many attempts as it took, one video is made.
_MERGED = 1


class VideoMerger:
    """One video. Takes the messages of workers, section by section in any order, and gives those that one worker would
    have sent that read all of it, with tracks."""

    def __init__(self, sections: int = 1) -> None:
        self._sections = sections
        #: Chunks of sections that are being read, and complete sections that wait for those before them.
        self._unfinished: dict[int, list[FrameChunk]] = {}
        self._complete: dict[int, tuple[list[FrameChunk], FileResult]] = {}
        #: The section to be merged next; the number of sections once the file is done.
        self.next_section = 0
        self._info = MediaInfo()
        self._failures: list[Failure] = []
        self._processing_s = 0.0
        self._start_over(_MERGED)

    def _start_over(self, attempt: int) -> None:
        self._attempt = attempt
        self._tracker = Tracker()
        self._frames_sampled = self._faces_found = self._cuts = 0
        self._last: SampledFrame | None = None

    def add(self, message: FrameChunk | FileResult) -> Iterator[FrameChunk | FileResult]:
        """Take a worker's message; yields what is ready. The messages of one section come in order."""
        if self.next_section == self._sections:
            return
        if self._sections == 1:
            yield from self._stream(message)
        elif isinstance(message, FrameChunk):
            chunks = self._unfinished.setdefault(message.section, [])
            if chunks and chunks[0].attempt != message.attempt:
                chunks.clear()
            chunks.append(message)
        elif message.unusable:
            self.next_section = self._sections
            yield message
        else:
            chunks = self._unfinished.pop(message.section, [])
            self._complete[message.section] = [c for c in chunks if c.attempt == message.attempt], message
            while self.next_section in self._complete:
                yield from self._merge(*self._complete.pop(self.next_section))

    def _stream(self, message: FrameChunk | FileResult) -> Iterator[FrameChunk | FileResult]:
        """What was read by one worker passes through, so that nothing of a long video is kept."""
        if message.attempt != self._attempt:
            self._start_over(message.attempt)
        if isinstance(message, FrameChunk):
            yield from self._track(message)
        else:
            self.next_section = 1
            yield self._counted(message)

    def _merge(self, chunks: list[FrameChunk], result: FileResult) -> Iterator[FrameChunk | FileResult]:
        """The next section is complete: its chunks and, if it was the last one, the result of the file."""
        if self.next_section == 0:
            self._info = result.info
        self._processing_s += result.processing_s
        self._failures += [result.failure] if result.failure else []
        for chunk in chunks:
            yield from self._track(replace(chunk, section=0, attempt=_MERGED))
        self._cuts += result.cuts
        self.next_section += 1
        if self.next_section == self._sections:
            info = replace(self._info, duration_s=result.info.duration_s)
            failure = _joined(self._failures)
            yield self._counted(FileResult(result.media, info, failure, self._processing_s, cuts=self._cuts))

    def _counted(self, result: FileResult) -> FileResult:
        if result.unusable:
            return result
        return replace(result, frames_sampled=self._frames_sampled, faces_found=self._faces_found)

    def _track(self, chunk: FrameChunk) -> Iterator[FrameChunk]:
        """The chunk with its frames numbered, with tracks, and with the crops of the faces that are left."""
        frames: list[SampledFrame] = []
        crops: list[NDArray[np.uint8]] = []
        start = 0
        for frame in chunk.frames:
            assert frame.time is not None
            face_crops = list(zip(frame.faces, chunk.crops[start : start + len(frame.faces)], strict=True))
            start += len(face_crops)
            if self._last is not None and frame.time == self._last.time and not frames and not frame.sample_index:
                continue  # The frame at the border was sampled in both sections.
            scene, index = self._cuts + frame.scene, self._frames_sampled + len(frames)
            tracked = self._tracker(float(frame.time), scene, face_crops, (frame.width, frame.height))
            frames.append(replace(frame, sample_index=index, faces=tuple(face for face, _ in tracked), scene=scene))
            crops += [crop for _, crop in tracked]
        if frames:
            self._last = frames[-1]
            self._frames_sampled += len(frames)
            self._faces_found += len(crops)
            yield replace(chunk, frames=tuple(frames), crops=np.stack(crops) if crops else chunk.crops[:0])


def _joined(failures: list[Failure]) -> Failure | None:
    """What is reported of the file: the first loss, or else the first remark, and that there are more."""
    distinct = sorted(dict.fromkeys(failures), key=lambda failure: failure.code in REMARKS)
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    return replace(distinct[0], message=f"{distinct[0].message}; and more in {len(distinct) - 1} later sections")
