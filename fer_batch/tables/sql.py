"""SQL views for the questions an engagement report asks, in DuckDB's dialect, over the tables of an output folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fer_batch.measures import MEASURES

#: Characters of a file name that DuckDB takes for a pattern.
_GLOB = re.compile(r"[*?\[]")
#: Or a folder of results that is named like `emotion=x` would give every row a column of that name.
_READING = "hive_partitioning = false"
#: The folder that a file lies in.
FOLDER = r"CASE WHEN contains(media_path, '/') THEN regexp_replace(media_path, '/[^/]*$', '') ELSE '.' END"
#: Each view: name, the question it answers, query. `views` fills in what is in braces.
_TABLES = (
    (
        "media",
        "Every input file, failed ones too.",
        "SELECT * FROM read_parquet('{out}/media/part-*.parquet', {reading})",
    ),
    ("frames", "Every sampled frame.", "SELECT * FROM read_parquet('{out}/frames/part-*.parquet', {reading})"),
    ("faces", "Every detected face.", "SELECT * FROM read_parquet('{out}/faces/part-*.parquet', {reading})"),
)

_QUESTIONS = (
    (
        "at_a_glance",
        "The whole run in one row: counts, and means with their 95 % intervals.",
        "SELECT * FROM read_parquet('{out}/summary/overall.parquet', {reading})",
    ),
    (
        "by_media",
        "Each file's means with their 95 % intervals.",
        "SELECT * FROM read_parquet('{out}/summary/by_media.parquet', {reading})",
    ),
    (
        "face_tracks",
        "Each face track of a video: first and last time, how long the face was detected, and its means.",
        "SELECT *, last_s - first_s AS span_s\n"
        "FROM read_parquet('{out}/summary/by_track.parquet', {reading})\nORDER BY media_path, first_s, track_id",
    ),
    (
        "faces_over_time",
        "The number of face tracks in each minute of each video, and the largest number of faces in one frame.",
        "SELECT media_path, CAST(floor(timestamp_s / 60) AS BIGINT) AS minute,\n"
        "  count(DISTINCT track_id) AS face_tracks, max(face_count) AS most_at_once\n"
        "FROM faces JOIN frames USING (media_path, sample_index, timestamp_s)\n"
        "GROUP BY ALL ORDER BY media_path, minute",
    ),
    (
        "strongest_moments",
        "When people reacted most: the ten windows of each measure and emotion with the highest lower interval end.",
        "SELECT measure, direction, rank, media_path, start_s, end_s, value, value_low, value_high\n"
        "FROM read_parquet('{out}/summary/moments.parquet', {reading})\n"
        "WHERE rank <= 10 ORDER BY measure, direction, rank",
    ),
    (
        "engagement_by_folder",
        "Means over the frames with faces, and the face presence, by folder.",
        "SELECT {folder} AS folder,\n"
        "  count(DISTINCT media_path) AS files, count(*) AS frames,\n"
        "  avg(CAST(face_count > 0 AS INTEGER)) AS face_presence,\n"
        "  {means}\nFROM frames GROUP BY ALL ORDER BY engagement DESC NULLS LAST",
    ),
    (
        "per_minute",
        "Each video by minute: face presence, number of faces and means.",
        "SELECT media_path, CAST(floor(timestamp_s / 60) AS BIGINT) AS minute, count(*) AS frames,\n"
        "  avg(CAST(face_count > 0 AS INTEGER)) AS face_presence,\n"
        "  avg(face_count) FILTER (face_count > 0) AS faces_per_frame,\n"
        "  {means}\nFROM frames WHERE media_type = 'video' GROUP BY ALL ORDER BY media_path, minute",
    ),
    (
        "expression_shares",
        "Share of faces by most probable apparent expression, counted and corrected, by file.",
        "SELECT media_path, faces, unnest([{names}]) AS emotion, unnest([{shares}]) AS share,\n"
        "  unnest([{adjusted}]) AS adjusted_share\n"
        "FROM by_media WHERE faces > 0 ORDER BY media_path, share DESC",
    ),
    (
        "coverage",
        "Sampled frames with and without a face, by file.",
        "SELECT media_path, media_type, status, duration_s, frames_sampled, faces_found,\n"
        "  coalesce(frames_with_faces, 0) AS frames_with_faces, face_presence\n"
        "FROM media LEFT JOIN by_media USING (media_path, media_type) ORDER BY face_presence NULLS FIRST, media_path",
    ),
    (
        "failures",
        "Files that could not be read, or only in part, and why.",
        "SELECT status, error_stage, error_code, media_path, error_message\n"
        "FROM media WHERE error_code IS NOT NULL ORDER BY status DESC, error_code, media_path",
    ),
)

_STUDY = (
    (
        "study_by_respondent",
        "What each respondent showed in each segment of each stimulus, and for how long the face was missing.",
        "SELECT * FROM read_parquet('{out}/study/by_respondent.parquet', {reading})",
    ),
    (
        "study_respondent_curves",
        "The curve of each respondent over the stimulus, bin by bin.",
        "SELECT * FROM read_parquet('{out}/study/respondent_curves.parquet', {reading})",
    ),
    (
        "study_curve",
        "How respondents reacted over the stimulus, bin by bin, of all and by group.",
        "SELECT * FROM read_parquet('{out}/study/curve.parquet', {reading})",
    ),
    (
        "study_by_segment",
        "How respondents reacted to each segment, and how far that is from their baseline.",
        "SELECT * FROM read_parquet('{out}/study/by_segment.parquet', {reading})",
    ),
    (
        "study_contrasts",
        "How far groups of respondents differ, segment by segment.",
        "SELECT * FROM read_parquet('{out}/study/contrasts.parquet', {reading})",
    ),
    (
        "study_clear_differences",
        "The differences that remain once all comparisons of a stimulus are allowed for.",
        "SELECT stimulus, segment, measure, factor, value_a, value_b, difference, difference_low, difference_high,\n"
        "  hedges_g, p_adjusted, paired, respondents_a, respondents_b\n"
        "FROM study_contrasts WHERE p_adjusted < 0.05 ORDER BY p_adjusted",
    ),
    (
        "study_synchrony",
        "Whether respondents reacted together.",
        "SELECT * FROM read_parquet('{out}/study/synchrony.parquet', {reading})",
    ),
    (
        "study_moments",
        "When respondents left their baseline, the clearest moments of each measure first.",
        "SELECT * FROM read_parquet('{out}/study/moments.parquet', {reading})\nORDER BY stimulus, measure, rank",
    ),
)


def views(out: Path, labels: Sequence[str], study: bool = False) -> dict[str, str]:
    """`CREATE VIEW` statements by name, each after those it needs.

    Args:
        out: The output folder.
        labels: The emotions its tables have.
        study: Whether it has the tables of a study.
    """
    places = {
        "out": _GLOB.sub(r"[\g<0>]", str(out.absolute())).replace("'", "''"),
        "reading": _READING,
        "folder": FOLDER,
        "means": ", ".join(f"avg({name}) AS {name}" for name in ("engagement", *_rest(labels))),
        "names": ", ".join(f"'{label}'" for label in labels),
        "shares": ", ".join(f"share_{label}" for label in labels),
        "adjusted": ", ".join(f"adjusted_share_{label}" for label in labels),
    }
    return {
        name: f"-- {question}\nCREATE OR REPLACE VIEW {name} AS\n{query.format(**places)};\n"
        for name, question, query in (*_TABLES, *_QUESTIONS, *(_STUDY if study else ()))
    }


def _rest(labels: Sequence[str]) -> list[str]:
    return [*(name for name in MEASURES if name != "engagement"), *labels]
