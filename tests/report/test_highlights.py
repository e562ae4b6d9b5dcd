"""The four answers: honest where little is known."""

from __future__ import annotations

from typing import Any

from fer_batch.report.highlights import answers, clear_moments, shown_moments

OVERALL = {"faces_per_frame": 2.0, "faces_per_frame_low": 1.8, "faces_per_frame_high": 2.2, "face_presence": 0.5}
OVERALL |= {"expressiveness": 0.4, "happy": 0.3, "valence": 0.1}


def moment(measure: str = "expressiveness", value: float = 0.8, half: float = 0.05, **more: Any) -> dict[str, Any]:
    row = {"measure": measure, "direction": "high", "rank": 1, "media_path": "v.mp4", "start_s": 10.0, "end_s": 20.0}
    return row | {"value": value, "value_low": value - half, "value_high": value + half} | more


def video(path: str, engagement: float, half: float | None = 3.0) -> dict[str, Any]:
    low, high = (None, None) if half is None else (engagement - half, engagement + half)
    return {"media_path": path, "engagement": engagement, "engagement_low": low, "engagement_high": high}


def said(videos: list[dict[str, Any]], moments: list[dict[str, Any]] = []) -> list[str]:  # noqa: B006
    clear = clear_moments(moments, OVERALL, {"v.mp4": {"expressiveness": 0.5, "happy": 0.4}})
    return [f"{one.answer}: {' '.join(one.notes)}" for one in answers(OVERALL, clear, videos, {"done": 3}, 4)]


def test_only_windows_beyond_both_means_are_moments() -> None:
    videos = {"v.mp4": {"expressiveness": 0.5, "happy": 0.1, "valence": 0.2}}
    cases = {
        "clear": moment(),
        "within the run": moment("happy", 0.32),
        "within its video": moment(value=0.52, half=0.01),
        "unsure": moment(value_low=None, value_high=None),
        "lowest, not low": moment("valence", 0.08, direction="low"),
        "lowest, low": moment("valence", -0.4, direction="low"),
    }
    found = {name for name, row in cases.items() if clear_moments([row], OVERALL, videos)}
    assert found == {"clear", "lowest, low"}


def test_neighbouring_windows_are_one_moment() -> None:
    rows = [
        moment(start_s=start, end_s=start + 10, rank=rank) for rank, start in enumerate((10.0, 20.0, 50.0, 90.0), 1)
    ]
    shown = shown_moments(clear_moments(rows, OVERALL, {}))
    assert [one.start for one in shown] == [10.0, 50.0]


def test_when_says_where_and_how_sure() -> None:
    _, when, _, _ = said([video("v.mp4", 60)], [moment()])
    assert when.startswith("0:10–0:20: in v.mp4: expressiveness 80% (95% interval 75–85%)")
    assert said([video("v.mp4", 60)])[1].startswith("No clear moment")
    assert said([])[1].startswith("–: No video was read. Images have no time")


def test_to_what_tells_overlap_from_difference() -> None:
    assert "Clearly above the next, b.mp4 (50)" in said([video("a.mp4", 60), video("b.mp4", 50)])[2]
    assert "Not clearly above 1 other video" in said([video("a.mp4", 60), video("b.mp4", 58)])[2]
    unsure = said([video("a.mp4", 60), video("b.mp4", 90, None)])[2]
    assert unsure.startswith("a.mp4")
    assert "The mean of b.mp4 is higher (90), but from too few samples" in unsure
    assert said([video("b.mp4", 90, None)])[2].startswith("Too few samples to say")


def test_where_no_file_was_read_nobody_says_that_there_was_no_face() -> None:
    told = [f"{one.answer}: {' '.join(one.notes)}" for one in answers({}, [], [], {"failed": 2}, 0)]
    assert told[0] == "–: No file was read."
    assert told[3] == "0 of 2 files read: 2 files failed."


def test_how_many_and_how_sure() -> None:
    many, _, _, sure = said([video("a.mp4", 60), video("b.mp4", 90, None)])
    assert many.startswith("2.0 faces: on average where a face was in view (95% interval 1.8–2.2); at most 4 at once.")
    assert "A face was in view in 50% of the sampled frames" in many
    assert sure.startswith("3 of 3 files read: For 1 of 2 videos there are too few samples")
