"""The four answers, and what they say where samples are few."""

from __future__ import annotations

from typing import Any

from fer_batch.report.highlights import answers, clear_moments, shown_moments

OVERALL = {"faces_per_frame": 2.0, "faces_per_frame_low": 1.8, "faces_per_frame_high": 2.2, "face_presence": 0.5}
OVERALL |= {"expressiveness": 0.4, "happy": 0.3, "valence": 0.1}


def moment_row(measure: str = "expressiveness", value: float = 0.8, half: float = 0.05, **more: Any) -> dict[str, Any]:
    row = {"measure": measure, "direction": "high", "rank": 1, "media_path": "v.mp4", "start_s": 10.0, "end_s": 20.0}
    return row | {"value": value, "value_low": value - half, "value_high": value + half} | more


def video(path: str, engagement: float, half: float | None = 3.0) -> dict[str, Any]:
    low, high = (None, None) if half is None else (engagement - half, engagement + half)
    return {"media_path": path, "engagement": engagement, "engagement_low": low, "engagement_high": high}


def answer_texts(videos: list[dict[str, Any]], moments: list[dict[str, Any]] = []) -> list[str]:  # noqa: B006
    clear = clear_moments(moments, OVERALL, {"v.mp4": {"expressiveness": 0.5, "happy": 0.4}})
    return [f"{answer.answer}: {' '.join(answer.notes)}" for answer in answers(OVERALL, clear, videos, {"done": 3}, 4)]


def test_only_windows_beyond_both_means_are_moments() -> None:
    videos = {"v.mp4": {"expressiveness": 0.5, "happy": 0.1, "valence": 0.2}}
    cases = {
        "clear": moment_row(),
        "within the run": moment_row("happy", 0.32),
        "within its video": moment_row(value=0.52, half=0.01),
        "unsure": moment_row(value_low=None, value_high=None),
        "lowest, not low": moment_row("valence", 0.08, direction="low"),
        "lowest, low": moment_row("valence", -0.4, direction="low"),
    }
    found = {name for name, row in cases.items() if clear_moments([row], OVERALL, videos)}
    assert found == {"clear", "lowest, low"}


def test_adjacent_windows_are_one_moment() -> None:
    rows = [
        moment_row(start_s=start, end_s=start + 10, rank=rank) for rank, start in enumerate((10.0, 20.0, 50.0, 90.0), 1)
    ]
    shown = shown_moments(clear_moments(rows, OVERALL, {}))
    assert [moment.start for moment in shown] == [10.0, 50.0]


def test_strongest_moment_is_named_with_its_video_and_interval() -> None:
    _, when, _, _ = answer_texts([video("v.mp4", 60)], [moment_row()])
    assert when.startswith("0:10–0:20: in v.mp4: expressiveness 80% (95% interval 75–85%)")
    assert answer_texts([video("v.mp4", 60)])[1].startswith("No clear moment")
    assert answer_texts([])[1].startswith("–: No video was read. Images have no time")


def test_video_is_called_clearly_above_only_if_intervals_do_not_overlap() -> None:
    assert "Clearly above the next, b.mp4 (50)" in answer_texts([video("a.mp4", 60), video("b.mp4", 50)])[2]
    assert "Not clearly above 1 other video" in answer_texts([video("a.mp4", 60), video("b.mp4", 58)])[2]
    unsure = answer_texts([video("a.mp4", 60), video("b.mp4", 90, None)])[2]
    assert unsure.startswith("a.mp4")
    assert "The mean of b.mp4 is higher (90), but from too few samples" in unsure
    assert answer_texts([video("b.mp4", 90, None)])[2].startswith("Too few samples to say")


def test_run_without_a_readable_file_does_not_claim_that_no_face_was_found() -> None:
    texts = [f"{answer.answer}: {' '.join(answer.notes)}" for answer in answers({}, [], [], {"failed": 2}, 0)]
    assert texts[0] == "–: No file was read."
    assert texts[3] == "0 of 2 files read: 2 files failed."


def test_number_of_faces_and_certainty_are_given() -> None:
    many, _, _, sure = answer_texts([video("a.mp4", 60), video("b.mp4", 90, None)])
    assert many.startswith("2.0 faces: on average where a face was in view (95% interval 1.8–2.2); at most 4 at once.")
    assert "A face was in view in 50% of the sampled frames" in many
    assert sure.startswith("3 of 3 files read: For 1 of 2 videos there are too few samples")
