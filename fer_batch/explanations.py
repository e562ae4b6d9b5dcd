"""What the codes of failures mean, in words for users."""

from __future__ import annotations

from fer_batch.records import Code

#: What each code means and what to do about it. docs/guide/tables.md has the same words.
EXPLANATIONS: dict[Code, tuple[str, str]] = {
    Code.EMPTY_FILE: ("the file has no bytes", "copy it again"),
    Code.UNREADABLE: ("the system would not let it be read", "check permissions and the disk"),
    Code.NOT_MEDIA: (
        "a file named on the command line that is neither by content nor by name a known type",
        "leave it out",
    ),
    Code.CHANGED: ("changed or vanished since the run began", "run again once it is whole"),
    Code.INVALID_DATA: ("its content can't be decoded at all", "check whether it plays; copy it again"),
    Code.NO_VIDEO_STREAM: ("a container without video, such as a sound recording", "leave it out with --exclude"),
    Code.NO_FRAMES: ("a video stream without a single frame", "leave it out with --exclude"),
    Code.NO_TIMESTAMPS: (
        "no time stamps. Where the format has none, such as H.264 without a container, it is kept: times are counted "
        "by the frame rate it states, or by 25 a second. Where only its frames lack them, it failed",
        "remux it with FFmpeg, and state the rate",
    ),
    Code.UNSUPPORTED: (
        "no decoder for its format, or a raw photograph without an embedded picture",
        "convert it; develop raw photographs to JPEG",
    ),
    Code.TOO_LARGE: ("a picture of more than 128 megapixels", "make it smaller"),
    Code.DAMAGED: ("kept in part: some of it could not be decoded", "compare frames_sampled with the duration"),
    Code.TRUNCATED: ("kept in part: it ends before the length it states", "copy it again"),
    Code.TIME_JUMPS: (
        "recordings were joined in it. Where their time stamps begin again, the later ones are counted on from the end "
        "of those before; where players show the first alone, so do the tables",
        "cut it there",
    ),
    Code.UNLIKELY_RATE: (
        "more than 300 frames a second: times are as the file states them, and can hardly be true",
        "remux it with FFmpeg at its true rate",
    ),
    Code.OTHER_STREAMS: (
        "it holds several video streams; the largest that moves was read (stream_index), the others were not",
        "extract another stream with FFmpeg if that is the one you want",
    ),
    Code.OTHER_PAGES: (
        "a TIFF of several pages; the first was read, the others were not",
        "split it into a file for each page",
    ),
    Code.DETECTOR_ERROR: ("the detector failed on a frame", "report it, with the file if you can"),
    Code.OUT_OF_MEMORY: ("it needs more memory than there is", "fewer --workers"),
    Code.TIMEOUT: ("its worker gave no result for --timeout seconds, twice", "allow more"),
    Code.WORKER_DIED: ("its worker process died on it, twice", "report it, with the file if you can"),
    Code.INTERNAL: ("a defect of this program", "report it"),
}
