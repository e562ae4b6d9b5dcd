"""The tables of a study, made from panels of respondents. docs/guide/tables.md says what their columns mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.analysis.studies.collection import Collection
from fer_batch.analysis.studies.comparison import Contrast, holm, paired_contrast, welch_contrast
from fer_batch.analysis.studies.inference import (
    ENOUGH_RESPONDENTS,
    Estimate,
    Floats,
    curve_intervals,
    mean_interval,
    simultaneous_band,
)
from fer_batch.analysis.studies.panel import Panel
from fer_batch.analysis.studies.schemas import MOMENTS_SCHEMA, Schemas
from fer_batch.analysis.studies.synchrony import synchrony
from fer_batch.measures import RANGES


@dataclass(frozen=True)
class StimulusResults:
    """Makes the tables of one stimulus.

    `factors`: all factor columns; `compared`: the values of those that are compared, by factor.
    """

    stimulus: str
    collection: Collection
    factors: tuple[str, ...]
    compared: dict[str, tuple[str, ...]]
    schemas: Schemas
    confidence: float

    @property
    def panel(self) -> Panel:
        """All respondents."""
        return Panel(self.collection, [(name, unit) for (name, _), unit in self.collection.units.items()])

    def panel_of(self, factor: str, value: str) -> Panel:
        """What respondents showed under one value of a factor."""
        index = self.factors.index(factor)
        units = self.collection.units.items()
        return Panel(self.collection, [(name, unit) for (name, values), unit in units if values[index] == value])

    def _views(self) -> Iterator[tuple[str | None, str | None, Panel]]:
        yield None, None, self.panel
        for factor, values in self.compared.items():
            for value in values:
                yield factor, value, self.panel_of(factor, value)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.collection.grid.names

    def by_respondent(self) -> pa.Table:
        """A row per respondent and segment."""
        panel = self.panel
        shape = (len(panel.respondents), len(panel.segments))
        counts = panel.segment_counts()
        columns: dict[str, Any] = {
            "stimulus": np.full(shape, self.stimulus, object),
            "respondent": np.repeat(panel.respondents, shape[1]).reshape(shape),
            **self._segment_columns(panel, shape),
            **{
                factor: np.repeat(np.array(self._factor_values(panel, index), object), shape[1]).reshape(shape)
                for index, factor in enumerate(self.factors)
            },
            "recordings": np.repeat(panel.recordings(), shape[1]).reshape(shape),
            **counts,
            "face_presence": _shares(counts),
            **{name: panel.segment_means(name) for name in self._names},
            **{f"{name}_change": panel.segment_changes(name) for name in self._names},
            "missing_s": panel.missing_seconds(),
        }
        return _table({name: values.ravel() for name, values in columns.items()}, self.schemas.by_respondent)

    def respondent_curves(self) -> pa.Table:
        """A row per respondent and bin in which something was recorded of the respondent."""
        panel = self.panel
        presence = panel.presence()
        shown = ~np.isnan(presence) & (panel.starts >= 0)
        rows, bins = np.nonzero(shown)
        columns: dict[str, Any] = {
            "stimulus": [self.stimulus] * len(rows),
            "respondent": np.array(panel.respondents, object)[rows],
            "bin_start_s": panel.starts[bins],
            "face_presence": presence[shown],
            **{name: panel.curve(name)[shown] for name in self._names},
        }
        return _table(columns, self.schemas.respondent_curves)

    def curves(self) -> Iterator[pa.Table]:
        """A row per bin, of all respondents and of those of each factor value."""
        for factor, value, panel in self._views():
            shown = panel.starts >= 0
            presence = panel.presence()[:, shown]
            respondents = (presence > 0).sum(axis=0)
            columns: dict[str, Any] = {
                "stimulus": [self.stimulus] * len(respondents),
                "factor": [factor] * len(respondents),
                "value": [value] * len(respondents),
                "bin_start_s": panel.starts[shown],
                "respondents": respondents,
                "enough_respondents": respondents >= ENOUGH_RESPONDENTS,
                "face_presence": _means(presence),
                "reacting_share": _means(panel.reacting()[:, shown]),
            }
            for name in self._names:
                curve = panel.curve(name)[:, shown]
                pointwise, band = curve_intervals(curve, _limits(name), self.confidence)
                columns |= _interval_columns(name, pointwise)
                columns |= {f"{name}_band_low": band.low, f"{name}_band_high": band.high}
            yield _table(columns, self.schemas.curve)

    def by_segment(self) -> Iterator[pa.Table]:
        """A row per segment, of all respondents and of those of each factor value."""
        for factor, value, panel in self._views():
            count = (len(panel.segments),)
            counts = panel.segment_counts()
            respondents = (counts["frames_with_faces"] > 0).sum(axis=0)
            columns: dict[str, Any] = {
                "stimulus": np.full(count, self.stimulus, object),
                "factor": np.full(count, factor, object),
                "value": np.full(count, value, object),
                **self._segment_columns(panel, count),
                "respondents": respondents,
                "enough_respondents": respondents >= ENOUGH_RESPONDENTS,
                **self._intervals("face_presence", _shares(counts)),
            }
            for name in self._names:
                columns |= self._intervals(name, panel.segment_means(name))
                columns |= self._intervals(f"{name}_change", panel.segment_changes(name))
            yield _table(columns, self.schemas.by_segment)

    def contrasts(self) -> pa.Table:
        """A row per segment, measure and pair of factor values; with a baseline for changes too."""
        tables = []
        for factor, values in self.compared.items():
            panels = {value: self.panel_of(factor, value) for value in values}
            for value_a, value_b in combinations(values, 2):
                tables.append(self._contrast(factor, value_a, value_b, panels[value_a], panels[value_b]))
        if not tables:
            return self.schemas.contrasts.empty_table()
        table = pa.concat_tables(tables)
        adjusted = holm(table["p"].to_numpy().astype(float))
        index = table.schema.get_field_index("p_adjusted")
        return table.set_column(index, table.schema.field(index), pa.array(adjusted, pa.float64(), from_pandas=True))

    def synchrony(self) -> pa.Table:
        """A row per segment and measure."""
        panel = self.panel
        rows = []
        for name in self._names:
            curve = panel.curve(name)
            for segment in panel.segments:
                found = synchrony(curve[:, panel.bins_of(segment)], self.confidence)
                start, end = panel.span(segment)
                row: dict[str, Any] = {"stimulus": self.stimulus, "segment": segment and segment.name}
                row |= {"start_s": start, "end_s": end, "measure": name} | vars(found)
                rows.append(row | {"enough_respondents": found.respondents >= ENOUGH_RESPONDENTS})
        return pa.Table.from_pylist(rows, self.schemas.synchrony)

    def moments(self) -> pa.Table:
        """A row per measure and bin in which the respondents' change leaves zero."""
        panel = self.panel
        compared = panel.starts >= 0
        if panel.baseline is not None:
            compared &= ~panel.bins_of(panel.segments[panel.baseline])
        tables = [self._moments(panel, name, np.flatnonzero(compared)) for name in self._names]
        return pa.concat_tables(tables) if tables else MOMENTS_SCHEMA.empty_table()

    def _moments(self, panel: Panel, name: str, compared: np.ndarray) -> pa.Table:
        """Ranked by how far the near end of the band is from zero."""
        curve, reference = panel.curve(name)[:, compared], panel.reference(name)
        changes = curve - reference[:, None]
        band = simultaneous_band(changes, _change_limits(name), self.confidence)
        with np.errstate(invalid="ignore"):
            distance = np.fmax(np.fmax(band.low, -band.high), 0.0)
            order = np.flatnonzero(distance > 0)
        order = order[np.argsort(-distance[order], kind="stable")]
        high = band.mean[order] > 0
        beyond = np.where(high, (changes[:, order] > 0).sum(axis=0), (changes[:, order] < 0).sum(axis=0))
        there = ~np.isnan(changes)
        starts = panel.starts[compared][order]
        count = len(order)
        columns = {
            "stimulus": [self.stimulus] * count,
            "measure": [name] * count,
            "direction": np.where(high, "high", "low").tolist(),
            "rank": np.arange(1, count + 1),
            "bin_start_s": starts,
            "bin_end_s": starts + self.collection.grid.width,
            "respondents": band.respondents[order],
            "respondents_beyond": beyond,
            "value": _means(np.where(there, curve, np.nan))[order],
            "compared_with": ["stimulus mean" if panel.baseline is None else "baseline"] * count,
            "reference": _means(np.where(there, reference[:, None], np.nan))[order],
            "change": band.mean[order],
            "change_band_low": band.low[order],
            "change_band_high": band.high[order],
        }
        return _table(columns, MOMENTS_SCHEMA)

    def _contrast(self, factor: str, value_a: str, value_b: str, a: Panel, b: Panel) -> pa.Table:
        """Paired over the respondents on both sides if most are, else Welch's over those on one side only."""
        both = sorted(set(a.respondents) & set(b.respondents))
        paired = 2 * len(both) >= len(set(a.respondents) | set(b.respondents))
        rows_a, rows_b = (
            [panel.respondents.index(name) for name in (both if paired else sorted({*panel.respondents} - {*both}))]
            for panel in (a, b)
        )
        test = paired_contrast if paired else welch_contrast
        tables = []
        for name in self._names:
            for measure, of in ((name, Panel.segment_means), (f"{name}_change", Panel.segment_changes)):
                if measure != name and a.baseline is None:
                    continue
                contrast = test(of(a, name)[rows_a], of(b, name)[rows_b], self.confidence)
                kept = [index for index in range(len(a.segments)) if measure == name or index != a.baseline]
                tables.append(self._contrast_rows(a, kept, contrast, measure, factor, value_a, value_b, paired))
        return pa.concat_tables(tables)

    def _contrast_rows(
        self, panel: Panel, kept: Sequence[int], contrast: Contrast, measure: str, factor: str, value_a: str,
        value_b: str, paired: bool,
    ) -> pa.Table:  # fmt: skip
        numbers = {name: values[kept] for name, values in vars(contrast).items()}
        keys = {"stimulus": self.stimulus, "measure": measure, "factor": factor, "value_a": value_a, "value_b": value_b}
        segments = self._segment_columns(panel, (len(panel.segments),))
        columns: dict[str, Any] = {name: [value] * len(kept) for name, value in keys.items()}
        columns |= {name: values[kept] for name, values in segments.items()} | numbers
        columns["p_adjusted"] = np.full(len(kept), np.nan)
        columns["paired"] = [paired] * len(kept)
        fewest = np.minimum(contrast.respondents_a, contrast.respondents_b)[kept]
        columns["enough_respondents"] = fewest >= ENOUGH_RESPONDENTS
        return _table(columns, self.schemas.contrasts)

    def _segment_columns(self, panel: Panel, shape: tuple[int, ...]) -> dict[str, Any]:
        names = np.array([segment and segment.name for segment in panel.segments], object)
        spans = np.array([panel.span(segment) for segment in panel.segments])
        columns = {"segment": names, "start_s": spans[:, 0], "end_s": spans[:, 1]}
        return {name: np.broadcast_to(values, shape) for name, values in columns.items()}

    def _factor_values(self, panel: Panel, index: int) -> list[str | None]:
        """The value of a factor of each respondent; several are joined."""
        found: dict[str, set[str]] = {name: set() for name in panel.respondents}
        for name, values in self.collection.units:
            if (value := values[index]) is not None:
                found[name].add(value)
        return ["; ".join(sorted(found[name])) or None for name in panel.respondents]

    def _intervals(self, name: str, values: Floats) -> dict[str, Any]:
        limits = _change_limits(name.removesuffix("_change")) if name.endswith("_change") else _limits(name)
        return _interval_columns(name, mean_interval(values, limits, self.confidence))


def _interval_columns(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _limits(name: str) -> tuple[float, float]:
    return RANGES.get(name, (0.0, 1.0))


def _change_limits(name: str) -> tuple[float, float]:
    minimum, maximum = _limits(name)
    return minimum - maximum, maximum - minimum


def _shares(counts: dict[str, Any]) -> Floats:
    frames = counts["frames"]
    shares = np.divide(counts["frames_with_faces"], frames, out=np.full(frames.shape, np.nan), where=frames > 0)
    return np.asarray(shares)


def _means(values: Floats) -> Floats:
    """The means over respondents, NaN where nobody has a value."""
    there = ~np.isnan(values)
    counts = there.sum(axis=0)
    sums = np.where(there, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0))


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Columns as a table; NaN is null."""
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema]
    return pa.table(arrays, schema=schema)
