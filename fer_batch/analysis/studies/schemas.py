"""The columns of a study's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import pyarrow as pa

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import MEASURES

Fields = list[tuple[str, pa.DataType]]

_TEXT, _NUMBER, _COUNT, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_SEGMENT: Fields = [("segment", _TEXT), ("start_s", _NUMBER), ("end_s", _NUMBER)]
_GROUP: Fields = [("stimulus", _TEXT), ("factor", _TEXT), ("value", _TEXT)]
_ENOUGH: Fields = [("respondents", _COUNT), ("enough_respondents", _FLAG)]

CONTRASTS_SCHEMA = pa.schema(
    [
        ("stimulus", _TEXT), *_SEGMENT, ("measure", _TEXT), ("factor", _TEXT), ("value_a", _TEXT), ("value_b", _TEXT),
        ("difference", _NUMBER), ("difference_low", _NUMBER), ("difference_high", _NUMBER),
        ("hedges_g", _NUMBER), ("hedges_g_low", _NUMBER), ("hedges_g_high", _NUMBER),
        ("p", _NUMBER), ("p_adjusted", _NUMBER), ("paired", _FLAG),
        ("respondents_a", _COUNT), ("respondents_b", _COUNT), ("enough_respondents", _FLAG),
    ]
)  # fmt: skip
SYNCHRONY_SCHEMA = pa.schema(
    [
        ("stimulus", _TEXT), *_SEGMENT, ("measure", _TEXT), *_ENOUGH,
        ("isc", _NUMBER), ("isc_low", _NUMBER), ("isc_high", _NUMBER), ("p", _NUMBER),
    ]
)  # fmt: skip
MOMENTS_SCHEMA = pa.schema(
    [
        ("stimulus", _TEXT), ("measure", _TEXT), ("direction", _TEXT), ("rank", _COUNT), ("bin_start_s", _NUMBER),
        ("bin_end_s", _NUMBER), ("respondents", _COUNT), ("respondents_beyond", _COUNT), ("value", _NUMBER),
        ("compared_with", _TEXT), ("reference", _NUMBER), ("change", _NUMBER), ("change_band_low", _NUMBER),
        ("change_band_high", _NUMBER),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Schemas:
    """The schema of each table, by its name."""

    by_respondent: pa.Schema
    respondent_curves: pa.Schema
    curve: pa.Schema
    by_segment: pa.Schema
    contrasts: pa.Schema = CONTRASTS_SCHEMA
    synchrony: pa.Schema = SYNCHRONY_SCHEMA
    moments: pa.Schema = MOMENTS_SCHEMA

    @classmethod
    def of(cls, names: Sequence[str], factors: Sequence[str]) -> Schemas:
        """The schemas of a study. `names`: its measures and emotions; `factors`: its factor columns."""
        intervals = [(f"{name}{end}", _NUMBER) for name in names for end in ("", "_low", "_high")]
        changes = [(f"{name}_change{end}", _NUMBER) for name in names for end in ("", "_low", "_high")]
        by_respondent: Fields = [("stimulus", _TEXT), ("respondent", _TEXT), *_SEGMENT]
        by_respondent += [(factor, _TEXT) for factor in factors]
        by_respondent += [(name, _COUNT) for name in ("recordings", "frames", "frames_with_faces", "faces")]
        by_respondent += [("faces_left_out", _COUNT), ("face_presence", _NUMBER)]
        by_respondent += [(f"{name}{end}", _NUMBER) for end in ("", "_change") for name in names]
        # 32 bits: there is a row for each second of each respondent.
        respondent_curves = [("stimulus", _TEXT), ("respondent", _TEXT), ("bin_start_s", _NUMBER)]
        respondent_curves += [(name, pa.float32()) for name in ("face_presence", *names)]
        curve = [*_GROUP, ("bin_start_s", _NUMBER), *_ENOUGH, ("face_presence", _NUMBER), ("reacting_share", _NUMBER)]
        ends = ("", "_low", "_high", "_band_low", "_band_high")
        curve += [(f"{name}{end}", _NUMBER) for name in names for end in ends]
        presence = [(f"face_presence{end}", _NUMBER) for end in ("", "_low", "_high")]
        by_segment = [*_GROUP, *_SEGMENT, *_ENOUGH, *presence, *intervals, *changes]
        return cls(
            pa.schema([*by_respondent, ("missing_s", _NUMBER)]),
            pa.schema(respondent_curves),
            pa.schema(curve),
            pa.schema(by_segment),
        )

    def with_metadata(self, metadata: Mapping[str, str]) -> Schemas:
        """The same, each with metadata beside its columns."""
        return replace(self, **{name: schema.with_metadata(dict(metadata)) for name, schema in self})

    def __iter__(self) -> Iterator[tuple[str, pa.Schema]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))


def result_columns() -> set[str]:
    """The names of all columns of a study's tables, which a factor can't have."""
    return {name for _, schema in Schemas.of((*EMOTIONS, *MEASURES), ()) for name in schema.names}
