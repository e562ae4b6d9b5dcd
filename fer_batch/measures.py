"""The measures, as pure functions of table columns. Defined here and nowhere else."""

from __future__ import annotations

import pandas as pd

from fer_batch.emotions import NEGATIVE

ENGAGEMENT_VERSION = 1
MAX_FACING_YAW = 30.0
MAX_FACING_PITCH = 25.0

#: The measures of a frame that summaries average, besides the emotions.
MEASURES = ("valence", "expressiveness", "attention", "engagement")

#: The columns of a face from which the measures of a frame are computed.
FACE_MEASURES = ("valence", "expressiveness", "facing")

#: Minimum and maximum of averaged columns whose range is not 0 to 1.
RANGES = {"valence": (-1.0, 1.0), "engagement": (0.0, 100.0), "faces_per_frame": (1.0, float("inf"))}

#: Definitions that the docs and the report print.
DEFINITIONS = {
    "valence": "happy − max(angry, disgust, fear, sad), in −1..1.",
    "expressiveness": "1 − neutral, in 0..1.",
    "facing": "|yaw| ≤ 30° and |pitch| ≤ 25°.",
    "attention": "share of the frame's faces that are facing. Without landmarks both are null: nothing else is ever "
    "called attention.",
    "engagement": f"version {ENGAGEMENT_VERSION}, in 0..100 = 100 × mean over faces of facing × (0.5 + 0.5 × "
    "expressiveness); facing counts as 1 where unknown. Looking is one half of it, reacting the other.",
    "face_presence": "share of sampled frames with at least one face. Aggregates of the measures are means over frames "
    "with faces, and face_presence always stands beside them.",
}


def valence(faces: pd.DataFrame) -> pd.Series:
    """happy - max(angry, disgust, fear, sad), in -1..1. With disgust merged into angry there is none to look at."""
    negative = [name for name in NEGATIVE if name in faces]
    return faces["happy"] - faces[negative].max(axis=1)


def expressiveness(faces: pd.DataFrame) -> pd.Series:
    """1 - neutral, in 0..1."""
    return 1.0 - faces["neutral"]


def facing(faces: pd.DataFrame) -> pd.Series:
    """|yaw| <= 30 and |pitch| <= 25 degrees, as a nullable boolean; null where the angles are unknown."""
    yaw, pitch = faces["yaw"].astype(float), faces["pitch"].astype(float)
    turned_to = (yaw.abs() <= MAX_FACING_YAW) & (pitch.abs() <= MAX_FACING_PITCH)
    return turned_to.astype("boolean").mask(yaw.isna() | pitch.isna())


def face_attention(faces: pd.DataFrame) -> pd.Series:
    """1 for a facing face, 0 for another, NaN where unknown; its mean over a frame is the frame's attention."""
    return faces["facing"].astype("Float64").astype(float)


def face_engagement(faces: pd.DataFrame) -> pd.Series:
    """100 x facing x (0.5 + 0.5 x expressiveness), in 0..100 (version 1); facing counts as 1 where unknown.

    Its mean over the faces of a frame is the frame's engagement.
    """
    looking = faces["facing"].astype("Float64").fillna(1.0).astype(float)
    return 100.0 * looking * (0.5 + 0.5 * faces["expressiveness"])


def add_face_measures(faces: pd.DataFrame) -> pd.DataFrame:
    """The faces with valence, expressiveness and facing beside them."""
    faces = faces.assign(valence=valence(faces), expressiveness=expressiveness(faces))
    return faces.assign(facing=facing(faces))


def frame_means(faces: pd.DataFrame, keys: list[str], labels: tuple[str, ...]) -> pd.DataFrame:
    """Means over the faces of each frame, a row per frame that has faces, indexed by `keys`."""
    values = faces[[*keys, *labels, "valence", "expressiveness"]].assign(
        attention=face_attention(faces), engagement=face_engagement(faces)
    )
    means: pd.DataFrame = values.groupby(keys, sort=False).mean()
    return means
