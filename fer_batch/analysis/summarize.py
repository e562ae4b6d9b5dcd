"""Aggregate the tables of an output folder into summary/, from the Parquet files alone.

Parts are read in the order of their files, large ones in chunks. All rows of a file are in one part, so memory is
bounded by the largest part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.analysis import sorted_merge
from fer_batch.analysis.groups import MEDIA_KEYS, SPAN, Groups, Part, summary_schema
from fer_batch.analysis.moments import MOMENTS_SCHEMA, Moments
from fer_batch.analysis.overall import Overall, overall_schema
from fer_batch.analysis.sorted_merge import SortedMerge
from fer_batch.analysis.summary_writer import SummaryWriter
from fer_batch.analysis.tracks import by_track, tracks_schema
from fer_batch.emotions import EMOTIONS
from fer_batch.measures import FACE_MEASURES, MEASURES
from fer_batch.share_correction import METADATA_KEY, ShareCorrection, read_correction
from fer_batch.tables.layout import SUMMARIES, SUMMARY_FILES, SUMMARY_FOLDER
from fer_batch.tables.parquet import read_many, read_schema, read_small, read_table
from fer_batch.tables.parts import committed_parts

_MEDIA = ["media_path", "media_type"]


def summarize(out: Path, window: float) -> None:
    """Write the tables of `SUMMARIES` into summary/, as .parquet and .csv.

    Means are over frames with faces; `face_presence` is over all sampled frames; all have 95 % intervals.

    Args:
        out: The output folder of a run.
        window: Seconds of a row of timeline.

    Raises:
        FileNotFoundError: The folder has no tables.
    """
    names = committed_parts(out)
    if not names:
        raise FileNotFoundError(f"{out}: holds no tables of a run")
    labels = table_labels(out, names)
    parts, correction = _sorted_parts(out, names)
    schemas = {
        "overall": overall_schema(labels),
        "by_media": summary_schema(labels, MEDIA_KEYS),
        "timeline": summary_schema(labels, MEDIA_KEYS + SPAN),
        "by_track": tracks_schema(labels),
        "moments": MOMENTS_SCHEMA,
    }
    ordered = {"by_media": SortedMerge(), "timeline": SortedMerge("window_index"), "by_track": SortedMerge("track_id")}
    overall, moments = Overall(labels, correction), Moments([*labels, *MEASURES])
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(SummaryWriter(out / SUMMARY_FOLDER, name, schemas[name])) for name in SUMMARIES
        }
        for part, bound in _chunks(out, parts, labels):
            media = Groups(part, ["media_path"], labels, correction)
            overall.count(part, media)
            tables = {
                "by_media": media.table_and_means(MEDIA_KEYS),
                "timeline": _timeline(part, window, labels, correction),
                "by_track": by_track(part, labels),
            }
            for table, rows in tables.items():
                for rows_in_order in ordered[table].add(rows, bound):
                    files[table].write(rows_in_order)
                    if table == "by_media":
                        overall.pool(rows_in_order)
                    elif table == "timeline":
                        moments.add(rows_in_order)
        files["overall"].write(overall.table())
        files["moments"].write(moments.table())


def table_labels(out: Path, parts: Sequence[str]) -> tuple[str, ...]:
    """The emotions that the tables have columns for."""
    names = read_schema(out / "frames" / parts[0]).names
    return tuple(label for label in EMOTIONS if label in names)


def has_summaries(out: Path) -> bool:
    """Whether all summary files exist."""
    return all((out / SUMMARY_FOLDER / name).is_file() for name in SUMMARY_FILES)


def _sorted_parts(out: Path, names: list[str]) -> tuple[list[tuple[str, str]], ShareCorrection | None]:
    """The parts as pairs of first file and name, sorted; and the last part's correction, None where it has none."""
    paths = [out / "media" / name for name in names]
    firsts, correction = [], None
    for media in read_many(paths, lambda path: read_small(path, ["media_path"])):
        firsts.append(pc.min(media["media_path"]).as_py() or "")
        correction = (media.schema.metadata or {}).get(METADATA_KEY, correction)
    return sorted(zip(firsts, names, strict=True)), None if correction is None else read_correction(correction)


def _chunks(out: Path, parts: Sequence[tuple[str, str]], labels: tuple[str, ...]) -> Iterator[tuple[Part, str | None]]:
    """The rows of all parts in chunks, each with the first path of all later chunks; None for the last."""
    for number, (_, name) in enumerate(parts, start=1):
        after = [path for path, _ in parts[number : number + 1]]
        chunks = _read_part(out, name, labels).chunks(sorted_merge.ROWS)
        for index, chunk in enumerate(chunks, start=1):  # Only the first of them can be empty.
            yield chunk, min([*(then.first for then in chunks[index : index + 1]), *after], default=None)


def _timeline(part: Part, window: float, labels: tuple[str, ...], correction: ShareCorrection | None) -> pa.Table:
    windows = Groups(part.windowed(window), ["media_path", "window_index"], labels, correction)
    start = windows.keys["window_index"] * window
    return windows.table(MEDIA_KEYS + SPAN, {"start_s": start, "end_s": start + window})


def _read_part(out: Path, name: str, labels: tuple[str, ...]) -> Part:
    """The columns of one part that summaries need."""
    keys = [*_MEDIA, "sample_index", "timestamp_s"]
    columns = {
        "media": ["media_path", "status"],
        "frames": [*keys, "face_count", *labels, *MEASURES],
        "faces": [*keys, "face_index", "track_id", *labels, "emotion", *FACE_MEASURES],
    }
    media, frames, faces = (
        _categorical(read_table(out / table / name, columns[table])).to_pandas() for table in columns
    )
    # Sums of floats must not depend on the order in which rows were written.
    return Part(
        media.sort_values("media_path", ignore_index=True),
        frames.sort_values(["media_path", "sample_index"], ignore_index=True),
        faces.sort_values(["media_path", "sample_index", "face_index"], ignore_index=True),
    )


def _categorical(table: pa.Table) -> pa.Table:
    """Paths as ordered categories: comparing strings millions of times is slow."""
    paths = table["media_path"].combine_chunks().dictionary_encode()
    order = pc.array_sort_indices(paths.dictionary)
    rank = pc.array_sort_indices(order)  # The inverse of a permutation.
    codes = rank.take(paths.indices).cast(pa.int32())
    ordered = pa.DictionaryArray.from_arrays(codes, paths.dictionary.take(order), ordered=True)
    return table.set_column(table.column_names.index("media_path"), "media_path", ordered)
