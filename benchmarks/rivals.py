"""What `speed.py` measures against, each in a process of its own.

    python benchmarks/rivals.py fer VIDEO FRAMES     # needs the fer package: run it with that environment's Python
    python benchmarks/rivals.py opencv FOLDER COUNT  # cv2.imread and the embedded detector at full size
    python benchmarks/rivals.py decode VIDEO         # PyAV on one thread, every frame, nothing else

Prints one line of JSON: how many frames or files it went through in how many seconds, libraries loaded before, and in
how many of them it found a face.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def fer(video: str, frames: int) -> tuple[int, int, float]:
    import cv2
    from fer.fer import FER

    detector = FER(mtcnn=False)
    capture = cv2.VideoCapture(video)
    detector.detect_emotions(capture.read()[1])  # The first call builds what later ones use.
    started, done, found = time.perf_counter(), 0, 0
    while done < frames and (read := capture.read())[0]:
        found += bool(detector.detect_emotions(read[1]))
        done += 1
    return done, found, time.perf_counter() - started


def opencv(folder: str, count: int) -> tuple[int, int, float]:
    import cv2
    import numpy as np

    from fer_batch.config import DetectorConfig
    from fer_batch.detection import create_detector

    config = DetectorConfig()
    detector = create_detector(config)
    started, found = time.perf_counter(), 0
    paths = sorted(Path(folder).glob("*.jpg"))[:count]
    for path in paths:
        picture = cv2.imread(str(path))
        assert picture is not None
        if not detector.needs_colour:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        found += bool(detector.detect(np.asarray(picture, np.uint8), config.min_face))
    return len(paths), found, time.perf_counter() - started


def decode(video: str, _: int) -> tuple[int, int, float]:
    import av

    started, done = time.perf_counter(), 0
    with av.open(video) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _frame in container.decode(stream):
            done += 1
    return done, 0, time.perf_counter() - started


if __name__ == "__main__":
    rival = {"fer": fer, "opencv": opencv, "decode": decode}[sys.argv[1]]
    done, found, seconds = rival(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    print(json.dumps({"done": done, "with_a_face": found, "seconds": seconds}))
