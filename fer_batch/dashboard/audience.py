"""The audience page of the dashboard: what a study's tables say about a stimulus."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from fer_batch.dashboard.audience_queries import StudyTables
from fer_batch.palette import GROUP_STYLES

WHOLE = "whole stimulus"
ALL = "all respondents"
_MISSING = "no face was found"
#: How wide the numbers at the top are, relative to each other.
_COLUMNS = (4, 4, 3, 6, 4)


@st.cache_resource  # type: ignore[untyped-decorator]
def open_study(folder: str, modified: float) -> StudyTables:
    """The tables of the study, opened once for all visitors and for each new study (`modified`: its time)."""
    return StudyTables(Path(folder))


def audience(folder: str, modified: float) -> None:
    """The page, with its filters."""
    tables = open_study(folder, modified)
    facts = tables.facts
    with st.sidebar:
        st.header("Filters")
        stimulus = st.selectbox("Stimulus", tables.stimuli())
        factors = tables.compared_factors(stimulus)
        factor = st.selectbox("Factor", [ALL, *factors]) if factors else ALL
        measure = st.selectbox("Measure", facts.measures, index=facts.measures.index("expressiveness"))
        segments = tables.segments(stimulus)
        segment = st.selectbox("Segment", [WHOLE, *segments["segment"]])
    chosen_factor, chosen_segment = (None if factor == ALL else factor), (None if segment == WHOLE else segment)
    numbers(tables, stimulus, measure, chosen_segment)
    span = segments[segments["segment"] == segment][["start_s", "end_s"]]
    zoom = tuple(span.iloc[0]) if len(span) else None
    curve(tables, stimulus, chosen_factor, measure, segments, zoom)
    strips(tables, stimulus, measure, zoom)
    moments(tables, stimulus, measure)
    if chosen_factor:
        contrasts(tables, stimulus, chosen_factor, measure, segment)
    st.subheader("By segment")
    table = tables.by_segment(stimulus, chosen_factor, measure)
    st.dataframe(table if segment == WHOLE else table[table["segment"] == segment], hide_index=True, width="stretch")
    st.subheader("Respondents")
    st.dataframe(tables.respondents(stimulus, chosen_segment), hide_index=True, width="stretch")


def numbers(tables: StudyTables, stimulus: str, measure: str, segment: str | None) -> None:
    """The first line of numbers, over all respondents."""
    rows = tables.respondents(stimulus, segment)
    frames, with_face = rows["frames"].sum(), rows["frames_with_faces"].sum()
    means = tables.by_segment(stimulus, None, measure)
    mean = means[means["segment"] == (segment or WHOLE)].iloc[0]
    synchrony = tables.synchrony(stimulus, measure, segment)
    isc = None if synchrony is None or pd.isna(synchrony["isc"]) else synchrony
    interval = _range(mean[f"{measure}_low"], mean[f"{measure}_high"])
    values = (
        ("Respondents", f"{(rows['frames_with_faces'] > 0).sum():,} of {len(rows):,}", "With a face in this segment"),
        ("Face presence", f"{with_face / frames:.0%}" if frames else "–", "Share of frames with a face"),
        ("Mean", _number(mean[measure]), f"Mean of {measure} over respondents"),
        (f"{tables.facts.confidence:.0%} interval", interval, "Over respondents"),
        (
            "Synchrony (ISC)",
            _number(isc["isc"]) if isc is not None else "–",
            "Inter-subject correlation: how alike the respondents' curves are",
        ),
    )
    for column, (name, text, explanation) in zip(st.columns(_COLUMNS), values, strict=True):
        column.metric(name, text, help=explanation)


def curve(
    tables: StudyTables,
    stimulus: str,
    factor: str | None,
    measure: str,
    segments: pd.DataFrame,
    zoom: tuple[float, float] | None,
) -> None:
    """The mean over respondents with interval, band, segments, and the number of respondents below."""
    st.subheader("Over the stimulus")
    rows = tables.curve(stimulus, factor, measure)
    if rows["mean"].isna().all():
        st.info(
            "No face was found in the recordings of this stimulus." if rows["respondents"].sum() == 0 else "Unknown."
        )
        return
    st.caption(
        f"Mean over respondents. Darker: the {tables.facts.confidence:.0%} interval at each time. "
        + ("Lighter: the simultaneous band over all times. " if factor is None else "")
        + "Gray columns: segments."
    )
    domain = zoom or (float(rows["second"].min()), float(rows["second"].max()) + tables.facts.bin_s)
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    base = alt.Chart(rows).transform_filter(
        alt.FieldRangePredicate(field="second", range=[domain[0] - tables.facts.bin_s, domain[1]])
    )
    lines = sorted(rows["line"].unique())
    colour, dash = _line_styles(lines, with_legend=factor is not None)
    layers = [*_segment_layers(segments, domain, scale), *_mean_layers(base, scale, measure, colour, dash, len(rows))]
    if factor is None:
        band = alt.Y("band_low:Q"), alt.Y2("band_high:Q")
        layers.insert(len(layers) - 2, base.mark_area(opacity=0.15, clip=True).encode(_time(scale), *band, colour))
    st.altair_chart(alt.layer(*layers).properties(height=320), width="stretch")
    axis = alt.Axis(tickCount=2, format="d", minExtent=30)
    count = base.mark_line(interpolate="step-after", clip=True).encode(
        alt.X("second:Q", title="seconds of the stimulus", scale=scale),
        alt.Y("respondents:Q", title="respondents", scale=alt.Scale(zero=True), axis=axis),
        _line_styles(lines, with_legend=False)[0], tooltip=["second", "line", "respondents"],
    )  # fmt: skip
    st.altair_chart(count.properties(height=140), width="stretch")


def _time(scale: alt.Scale) -> alt.X:
    return alt.X("second:Q", title=None, scale=scale)


def _line_styles(lines: list[str], with_legend: bool) -> tuple[alt.Color, alt.StrokeDash]:
    """The colour and the dashes of each line."""
    colours = alt.Scale(domain=lines, range=[_colour(index) for index in range(len(lines))])
    legend = alt.Legend(orient="top") if with_legend else None
    dashes = [list(GROUP_STYLES[index % len(GROUP_STYLES)].dash) or [1, 0] for index in range(len(lines))]
    return (
        alt.Color("line:N", title=None, legend=legend, scale=colours),
        alt.StrokeDash("line:N", legend=None, scale=alt.Scale(domain=lines, range=dashes)),
    )


def _segment_layers(segments: pd.DataFrame, domain: tuple[float, float], scale: alt.Scale) -> list[alt.Chart]:
    """Gray columns and the names of the segments in sight; those of overlapping ones lie below each other."""
    shown = segments[(segments["end_s"] > domain[0]) & (segments["start_s"] < domain[1])]
    shown = shown.assign(start_s=shown["start_s"].clip(*domain), end_s=shown["end_s"].clip(*domain))
    shading = alt.Chart(shown).mark_rect(opacity=0.08, color="#767676", stroke="#767676").encode(
        alt.X("start_s:Q", scale=scale), alt.X2("end_s:Q"), tooltip=["segment", "start_s", "end_s"]
    )  # fmt: skip
    shown = shown.sort_values("start_s")
    rows = np.array(_rows_of_names(shown["start_s"], shown["end_s"]), int)
    names = [
        alt.Chart(shown[rows == row])
        .mark_text(align="left", baseline="top", dx=3, dy=3, color="#767676", fontSize=11)
        .encode(alt.X("start_s:Q", scale=scale), alt.Text("segment:N"), y=alt.value(14 * row))
        for row in range(rows.max(initial=-1) + 1)
    ]
    return [shading, *names]


def _rows_of_names(starts: Iterable[float], ends: Iterable[float]) -> list[int]:
    """For each of the spans, sorted by their starts, the first row in which no earlier one reaches so far."""
    taken: list[float] = []
    rows = []
    for start, end in zip(starts, ends, strict=True):
        row = next((row for row, until in enumerate(taken) if until <= start), len(taken))
        taken[row : row + 1] = [end]
        rows.append(row)
    return rows


def _mean_layers(
    base: alt.Chart, scale: alt.Scale, measure: str, colour: alt.Color, dash: alt.StrokeDash, rows: int
) -> list[alt.Chart]:
    """The interval at each time, and the mean."""
    value = alt.Y("mean:Q", title=measure, scale=alt.Scale(zero=False), axis=alt.Axis(minExtent=30))
    figures = [alt.Tooltip(name, format=".3f") for name in ("mean", "low", "high", "band_low", "band_high")]
    interval = base.mark_area(opacity=0.25, clip=True).encode(_time(scale), alt.Y("low:Q"), alt.Y2("high:Q"), colour)
    mean = base.mark_line(point=rows < 60, clip=True).encode(
        _time(scale), value, colour, dash, tooltip=["second", "line", *figures]
    )
    return [interval, mean]


def strips(tables: StudyTables, stimulus: str, measure: str, zoom: tuple[float, float] | None) -> None:
    """A row for each respondent, time across, the measure as a colour."""
    rows = tables.strips(stimulus, measure)
    if rows.empty:
        return
    st.subheader("Respondent by respondent")
    st.caption(f"A row for each respondent; gaps: {_MISSING}.")
    if zoom:
        rows = rows[(rows["until"] > zoom[0]) & (rows["second"] < zoom[1])]
    diverging = measure == "valence"
    limit = float(rows["value"].abs().max()) if diverging and rows["value"].notna().any() else 1.0
    scale = alt.Scale(scheme="purpleorange", domain=[-limit, limit]) if diverging else alt.Scale(scheme="viridis")
    count = rows["respondent"].nunique()
    named = alt.Axis(labelLimit=120) if count <= 60 else None
    cells = alt.Chart(rows.dropna(subset="value")).mark_rect().encode(
        alt.X("second:Q", title="seconds of the stimulus", scale=alt.Scale(nice=False, zero=False)), alt.X2("until:Q"),
        alt.Y("respondent:N", title=None, axis=named), alt.Color("value:Q", title=measure, scale=scale),
        tooltip=["respondent", "second", alt.Tooltip("value", format=".2f")],
    )  # fmt: skip
    st.altair_chart(cells.properties(height=max(80, min(700, 16 * count))), width="stretch")


def moments(tables: StudyTables, stimulus: str, measure: str) -> None:
    """When the audience reacted."""
    st.subheader("Moments")
    rows = tables.moments(stimulus, measure)
    if rows.empty:
        st.caption("At no time does the simultaneous band of the change exclude 0.")
        return
    st.caption("Bins in which the simultaneous band of the change excludes 0, the clearest first; all respondents.")
    st.dataframe(rows, hide_index=True, width="stretch")


def contrasts(tables: StudyTables, stimulus: str, factor: str, measure: str, segment: str) -> None:
    """Groups compared, as a forest plot and as a table."""
    st.subheader("Groups compared")
    rows = tables.contrasts(stimulus, factor, measure)
    rows = rows if segment == WHOLE else rows[rows["segment"] == segment]
    if rows.empty:
        st.caption("No contrast of this measure.")
        return
    st.caption(
        f"Difference of means with its {tables.facts.confidence:.0%} interval. Filled: p, adjusted for all comparisons "
        f"of the stimulus (Holm), below {1 - tables.facts.confidence:.3g}."
    )
    plotted = rows[rows["measure"] == measure].assign(
        row=lambda table: table["segment"] + ": " + table["pair"],
        clear=lambda table: table["p_adjusted"] < 1 - tables.facts.confidence,
    )
    across = alt.Y("row:N", sort=None, title=None, axis=alt.Axis(labelLimit=320))
    ends = alt.Chart(plotted).mark_rule(strokeWidth=2, color=_colour(0)).encode(
        alt.X("difference_low:Q", title=f"difference in {measure}"), alt.X2("difference_high:Q"), across
    )  # fmt: skip
    shown = ("difference", "hedges_g", "p_adjusted")
    points = alt.Chart(plotted).mark_point(size=90, shape="square", color=_colour(0)).encode(
        alt.X("difference:Q"), across, fillOpacity=alt.condition("datum.clear", alt.value(1), alt.value(0)),
        fill=alt.value(_colour(0)),
        tooltip=["segment", "pair", *(alt.Tooltip(name, format=".3f") for name in shown)],
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color="#767676").encode(alt.X("zero:Q"))
    st.altair_chart((zero + ends + points).properties(height=alt.Step(26)), width="stretch")
    st.dataframe(rows, hide_index=True, width="stretch")


def _colour(index: int) -> str:
    return GROUP_STYLES[index % len(GROUP_STYLES)].light


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _range(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{_number(low)} to {_number(high)}"
