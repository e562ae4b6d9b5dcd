"""Records become the columns of the contract, by name, order and type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.records import Code, Detection, Failure, FileResult, FrameChunk, Media, MediaInfo, SampledFrame, Stage
from fer_batch.tables.schema import (
    ClassifiedChunk,
    ClassifiedFile,
    faces_schema,
    frames_schema,
    media_schema,
    modified_time,
    to_tables,
)

CATEGORY = pa.dictionary(pa.int32(), pa.string())
FLOAT, DOUBLE, INT32, INT64 = pa.float32(), pa.float64(), pa.int32(), pa.int64()
KEYS = [("media_path", pa.string()), ("media_type", CATEGORY), ("sample_index", INT64), ("timestamp_s", DOUBLE)]
PLACE = [(name, FLOAT) for name in ("x", "y", "width", "height", "detection_score", "yaw", "pitch", "roll")]
QUALITY = [(name, FLOAT) for name in ("sharpness", "brightness", "outside_frame")]
SIX = ["angry", "fear", "happy", "sad", "surprise", "neutral"]
SEVEN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def floats(names: list[str]) -> list[tuple[str, pa.DataType]]:
    return [(name, FLOAT) for name in names]


def contract(emotions: list[str]) -> dict[str, list[tuple[str, pa.DataType]]]:
    """The tables as the contract lists them."""
    return {
        "faces": [
            *KEYS,
            ("face_index", INT32),
            ("track_id", INT32),
            *PLACE,
            *QUALITY,
            *floats(emotions),
            ("emotion", CATEGORY),
            *floats(["valence", "expressiveness"]),
            ("facing", pa.bool_()),
        ],
        "frames": [
            *KEYS,
            *[(name, INT32) for name in ("width", "height", "face_count")],
            *floats(emotions),
            *floats(["valence", "expressiveness", "attention", "engagement"]),
        ],
        "media": [
            *KEYS[:2],
            ("status", CATEGORY),
            *[(name, pa.string()) for name in ("error_stage", "error_code", "error_message")],
            ("size_bytes", INT64),
            ("modified", pa.timestamp("us", tz="UTC")),
            *[(name, INT32) for name in ("width", "height")],
            ("duration_s", DOUBLE),
            ("codec", pa.string()),
            *[(name, INT64) for name in ("frames_sampled", "faces_found")],
            ("processing_s", DOUBLE),
            ("recorded_at", pa.timestamp("us", tz="UTC")),
            ("stream_index", INT32),
        ],
    }


def columns(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in schema]


@pytest.fixture
def files(scored_file: Callable, shares_of: Callable) -> list[ClassifiedFile]:
    """An image, a video with an empty frame in the middle, a failed file; not in the order of their paths."""
    one, two, three = shares_of(happy=0.8, neutral=0.2), shares_of(sad=0.6, neutral=0.4), shares_of(happy=1.0)
    lost = Failure(Stage.DECODE, Code.NOT_MEDIA, "b.jpg: is text")
    return [
        scored_file("c.mp4", [(0.0, [one]), (0.5, []), (1.0, [two, three])]),
        scored_file("b.jpg", [], failure=lost, size_bytes=7),
        scored_file("a.png", [(None, [shares_of(angry=0.4, disgust=0.5, fear=0.1)])]),
    ]


@pytest.mark.parametrize(("labels", "emotions"), [(EMOTIONS, SEVEN), (EMOTIONS_MERGED, SIX)])
def test_schemas_are_those_of_the_contract(labels: tuple[str, ...], emotions: list[str]) -> None:
    expected = contract(emotions)
    assert columns(faces_schema(labels)) == expected["faces"]
    assert columns(frames_schema(labels)) == expected["frames"]
    assert columns(media_schema()) == expected["media"]


@pytest.mark.parametrize(("labels", "emotions"), [(EMOTIONS, SEVEN), (EMOTIONS_MERGED, SIX)])
@pytest.mark.parametrize("empty", ["nothing", "a file without frames", "a frame without faces"])
def test_empty_tables_have_the_same_columns(
    labels: tuple[str, ...], emotions: list[str], empty: str, scored_file: Callable
) -> None:
    frames = [(0.0, [])] if empty == "a frame without faces" else []
    scored = [] if empty == "nothing" else [scored_file("a.mp4", frames, classes=len(labels))]
    tables = to_tables(scored, labels)
    assert {name: columns(table.schema) for name, table in tables.items()} == contract(emotions)
    assert [tables[name].num_rows for name in ("faces", "frames", "media")] == [0, len(frames), len(scored)]


def test_faces(files: list[ClassifiedFile]) -> None:
    table = to_tables(files, EMOTIONS)["faces"]
    assert columns(table.schema) == contract(SEVEN)["faces"]
    rows = table.to_pylist()
    keys = ("media_path", "media_type", "sample_index", "timestamp_s", "face_index", "emotion")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("a.png", "image", 0, None, 0, "disgust"),
        ("c.mp4", "video", 0, 0.0, 0, "happy"),
        ("c.mp4", "video", 2, 1.0, 0, "sad"),
        ("c.mp4", "video", 2, 1.0, 1, "happy"),
    ]
    np.testing.assert_allclose([row["happy"] for row in rows], [0.0, 0.8, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose([row["valence"] for row in rows], [-0.5, 0.8, -0.6, 1.0], atol=1e-6)
    np.testing.assert_allclose([row["expressiveness"] for row in rows], [1.0, 0.8, 0.6, 1.0], atol=1e-6)
    assert [(row["x"], row["y"], row["width"], row["height"]) for row in rows][3] == (10.0, 20.0, 30.0, 40.0)
    assert table["track_id"].to_pylist() == [None, 0, 0, 1]
    for name in ("detection_score", "yaw", "pitch", "roll", "facing"):
        assert table[name].null_count == 4


def test_frames(files: list[ClassifiedFile]) -> None:
    table = to_tables(files, EMOTIONS)["frames"]
    assert columns(table.schema) == contract(SEVEN)["frames"]
    rows = table.to_pylist()
    keys = ("media_path", "media_type", "sample_index", "timestamp_s", "width", "height", "face_count")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("a.png", "image", 0, None, 640, 360, 1),
        ("c.mp4", "video", 0, 0.0, 640, 360, 1),
        ("c.mp4", "video", 1, 0.5, 640, 360, 0),
        ("c.mp4", "video", 2, 1.0, 640, 360, 2),
    ]
    measures = [*SEVEN, "valence", "expressiveness", "attention", "engagement"]
    assert [rows[2][name] for name in measures] == [None] * 11
    means = [0.0, 0.0, 0.0, 0.5, 0.3, 0.0, 0.2, 0.2, 0.8]
    np.testing.assert_allclose([rows[3][name] for name in measures[:-2]], means, atol=1e-6)
    assert rows[3]["engagement"] == pytest.approx(90.0)
    assert table["attention"].null_count == 4  # No landmarks, no attention.


def test_media(files: list[ClassifiedFile]) -> None:
    table = to_tables(files, EMOTIONS)["media"]
    assert columns(table.schema) == contract(SEVEN)["media"]
    keys = ("media_path", "status", "error_stage", "error_code", "error_message", "frames_sampled", "faces_found")
    assert [tuple(row[key] for key in keys) for row in table.to_pylist()] == [
        ("a.png", "done", None, None, None, 1, 1),
        ("b.jpg", "failed", "decode", "not_media", "b.jpg: is text", 0, 0),
        ("c.mp4", "done", None, None, None, 3, 3),
    ]
    assert table["size_bytes"].to_pylist() == [1000, 7, 1000]
    assert table["processing_s"].to_pylist() == [0.5, 0.5, 0.5]


def test_a_file_with_an_empty_frame_or_a_partial_loss_is_done(scored_file: Callable) -> None:
    damage = Failure(Stage.DECODE, Code.TRUNCATED, "a.mp4: ends early")
    (row,) = to_tables([scored_file("a.mp4", [(0.0, [])], failure=damage)], EMOTIONS)["media"].to_pylist()
    assert (row["status"], row["error_code"], row["frames_sampled"], row["faces_found"]) == ("done", "truncated", 1, 0)


def test_what_the_header_says_and_does_not_say() -> None:
    media = Media("/data/a.mp4", "a.mp4", "video", 12, 1_700_000_000_123_456_789)
    infos = (MediaInfo(1920, 1080, 12.5, "h264"), MediaInfo())
    scored = [ClassifiedFile(FileResult(media, info, None, 0.0)) for info in infos]
    known, unknown = to_tables(scored, EMOTIONS)["media"].to_pylist()
    names = ("width", "height", "duration_s", "codec")
    assert [known[name] for name in names] == [1920, 1080, 12.5, "h264"]
    assert [unknown[name] for name in names] == [None] * 4
    assert known["modified"] == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_999, datetime(1970, 1, 1, 0, 0, 0, 1, UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
def test_modified_time(nanoseconds: int, expected: datetime) -> None:
    assert modified_time(nanoseconds) == expected


@pytest.mark.parametrize("seconds", [2**40, -(2**40)])
def test_a_modification_time_no_calendar_has_ends_no_run(seconds: int, scored_file: Callable) -> None:
    """tmpfs and XFS keep such times; the year is 36812."""
    table = to_tables([scored_file("a.mp4", [], modified_ns=seconds * 10**9)], EMOTIONS)["media"]
    assert table["media_path"].to_pylist() == ["a.mp4"]


def test_scores_and_angles_where_the_detector_gives_them(shares_of: Callable) -> None:
    media = Media("/data/a.png", "a.png", "image", 1, 0)
    faces = (Detection(0, 0, 9, 9, 0.75, angles=(31.0, 5.0, -7.5)), Detection(9, 0, 9, 9, None))
    chunk = FrameChunk(media, (SampledFrame(0, None, 64, 64, faces),), np.zeros((2, 48, 48), np.uint8))
    classified = ClassifiedChunk(chunk, np.stack([shares_of(happy=1.0)] * 2))
    result = FileResult(media, MediaInfo(), None, 0.1, 1, 2)
    table = to_tables([ClassifiedFile(result, (classified,))], EMOTIONS)["faces"]
    assert table["detection_score"].to_pylist() == [0.75, None]
    assert [table[name].to_pylist() for name in ("yaw", "pitch", "roll")] == [[31, None], [5, None], [-7.5, None]]
    assert table["facing"].to_pylist() == [False, None]


@pytest.mark.parametrize("labels", [EMOTIONS, EMOTIONS_MERGED])
def test_probabilities_keep_their_sum_and_counts_agree(labels: tuple[str, ...], scored_file: Callable) -> None:
    rng = np.random.default_rng(0)
    scored = []
    for number in range(20):
        frames = [(float(time), rng.dirichlet(np.full(len(labels), 0.3), rng.integers(0, 4))) for time in range(5)]
        scored.append(scored_file(f"{number:02}.mp4", frames, classes=len(labels)))
    tables = {name: table.to_pandas() for name, table in to_tables(scored, labels).items()}
    faces, frames, media = tables["faces"], tables["frames"], tables["media"]
    np.testing.assert_allclose(faces[list(labels)].sum(axis=1), 1.0, atol=1e-5)
    seen = frames[frames["face_count"] > 0]
    np.testing.assert_allclose(seen[list(labels)].sum(axis=1), 1.0, atol=1e-5)
    assert (faces["emotion"] == faces[list(labels)].idxmax(axis=1)).all()
    assert 0 < len(seen) < len(frames) == media["frames_sampled"].sum() == 100
    assert len(faces) == frames["face_count"].sum() == media["faces_found"].sum() > 0
    by_file = faces.groupby("media_path").size().reindex(media["media_path"], fill_value=0)
    assert by_file.tolist() == media["faces_found"].tolist()


def test_rows_do_not_depend_on_the_order_of_the_files(files: list[ClassifiedFile]) -> None:
    first, second = to_tables(files, EMOTIONS), to_tables(files[::-1], EMOTIONS)
    assert all(first[name].equals(second[name]) for name in ("faces", "frames", "media"))
