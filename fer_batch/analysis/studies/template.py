"""A STUDY.csv to fill in, with the videos of a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

from fer_batch.analysis.studies.matching import MediaFile

_EXPLANATION = """\
# One row per recording, or per part of one. Lines that begin with # are comments.
# media: a path of the media table, or a pattern such as group_a/*.mp4.
# respondent: who. stimulus: what was watched. Left out, each file is one respondent, and all watched the same.
# offset_s: the second of the recording at which the stimulus begins; below 0 where it began before the recording.
# faces: all, main (the face that is seen longest), or track N.
# x, y, width, height may be added: only faces whose centre is in that part of the frame, as shares 0 to 1.
# Any other column, such as group, is a factor whose values are compared.
"""
_COLUMNS = ("media", "respondent", "stimulus", "offset_s", "faces", "group")


def template(media: Sequence[MediaFile]) -> str:
    """The text of a STUDY.csv that names every video once, each as one respondent who watches the same stimulus."""
    videos = sorted(file.path for file in media if file.media_type == "video")
    stems = [PurePosixPath(path).stem for path in videos]
    text = io.StringIO()
    text.write(_EXPLANATION)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for path, stem in zip(videos, stems, strict=True):
        respondent = stem if stems.count(stem) == 1 else str(PurePosixPath(path).with_suffix(""))
        writer.writerow([path, respondent, "stimulus", "0", "all", ""])
    return text.getvalue()
