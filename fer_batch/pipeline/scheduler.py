"""What is still to be given to workers, and what becomes of what they give: sections of long videos, second tries."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from fer_batch.log import one_line
from fer_batch.pipeline.video_merger import Film
from fer_batch.pipeline.worker import NO_CROPS
from fer_batch.records import Code, Failure, Media, MediaInfo, Outline, Piece, Prepared, Section, Stage, Unit
from fer_batch.runners.base import Loss, Outcome

log = logging.getLogger(__name__)

Given = Outline | Piece | Prepared


class Tasks(Iterator[Unit]):
    """The units to be given out, drawn by the runner as workers fall idle. One that was empty may have more later."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._units = deque(units)
        #: Of videos that were begun: they go first, so that a video's rows need not wait for long.
        self._sections = deque[Unit]()

    def __len__(self) -> int:
        return len(self._sections) + len(self._units)

    def __next__(self) -> Unit:
        try:
            return (self._sections or self._units).popleft()
        except IndexError:
            raise StopIteration from None

    def waiting(self) -> Iterator[Unit]:
        """Those that are there, none of them drawn."""
        return chain(self._sections, self._units)

    def add(self, unit: Unit) -> None:
        """For when there is nothing else to do."""
        self._units.append(unit)

    def add_sections(self, media: Media, sections: Iterable[Section]) -> None:
        """Behind those that nobody has drawn yet: out of their order, sections wait for each other until no worker may
        go on."""
        self._sections.extend(Unit((media,), section) for section in sections)

    def put_back(self, section: Unit) -> None:
        """For the next worker: those behind it wait."""
        self._sections.appendleft(section)


class Preparation:
    """The files of a run on their way through the workers."""

    def __init__(self, tasks: Tasks, window: int) -> None:
        """`tasks` are taken over and drawn from. `window`: how many sections of one video may be under way or wait for
        those before them. It bounds memory."""
        self.tasks = tasks
        self._window = window
        self._films: dict[str, Film] = {}
        self._outlines: dict[str, Outline] = {}
        #: How many sections of a video have been given out.
        self._out: dict[str, int] = {}
        self._outstanding = {one.path for unit in tasks.waiting() for one in unit.media}
        self._tried: set[tuple[str, int]] = set()

    def take(self, outcome: Outcome[Unit, Given]) -> Iterator[Piece | Prepared]:
        """Files and pieces of files that are ready now, those of one file in order. What a worker died or hung on is
        put back once, each file or section by itself, then given up."""
        result = outcome.result
        if result is None:
            yield from self._lost(outcome)
        elif isinstance(result, Outline):
            self._outline(result)
        else:
            yield from self._add(result)

    def _add(self, result: Piece | Prepared) -> Iterator[Piece | Prepared]:
        path = result.media.path
        if path not in self._outstanding:  # Another section has failed the file.
            return
        film = self._films.setdefault(path, Film()) if result.media.media_type == "video" else None
        for ready in (result,) if film is None else film.add(result):
            if isinstance(ready, Prepared):
                self._outstanding.remove(path)
                self._films.pop(path, None)
                self._outlines.pop(path, None)
            yield ready
        self._release(path)

    def _outline(self, outline: Outline) -> None:
        path = outline.media.path
        if path in self._outlines:  # The first section is tried again.
            return
        self._films[path] = Film(len(outline.sections))
        self._outlines[path] = outline
        self._out[path] = 1
        self._release(path)

    def _release(self, path: str) -> None:
        if (outline := self._outlines.get(path)) is None:
            return
        until = self._films[path].next + self._window
        sections = outline.sections[self._out[path] : until]
        self._out[path] += len(sections)
        self.tasks.add_sections(outline.media, sections)

    def _lost(self, outcome: Outcome[Unit, Given]) -> Iterator[Piece | Prepared]:
        unit = outcome.task
        for one in unit.media:
            if one.path not in self._outstanding:
                continue
            section = self._section(one, unit)
            key = one.path, 0 if section is None else section.number
            if len(unit.media) == 1 and key in self._tried:
                yield from self._add(_quarantined(one, outcome))
                continue
            log.warning("%s is tried once more, by itself: %s", one_line(one.path), outcome.message)
            self._tried.add(key)
            again = Unit((one,), section)
            (self.tasks.add if section is None else self.tasks.put_back)(again)

    def _section(self, media: Media, unit: Unit) -> Section | None:
        outline = self._outlines.get(media.path)
        return outline.sections[0] if unit.section is None and outline is not None else unit.section


def _quarantined(media: Media, outcome: Outcome[Unit, Given]) -> Prepared:
    code = Code.TIMEOUT if outcome.loss is Loss.TIMEOUT else Code.WORKER_DIED
    failure = Failure(Stage.WORK, code, one_line(f"{media.path}: {outcome.message}"))
    return Prepared(media, MediaInfo(), (), NO_CROPS, failure, 0.0, broken=True)
