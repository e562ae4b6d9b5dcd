"""The page itself; Streamlit runs this file from top to bottom at every change of a filter."""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from fer_batch.analysis.studies.folder import has_study, table_path
from fer_batch.analysis.summarize import table_labels
from fer_batch.dashboard.audience import audience
from fer_batch.dashboard.queries import Selection, Tables
from fer_batch.measures import MEASURES
from fer_batch.palette import EMOTION_STYLES
from fer_batch.tables.layout import STUDY_TABLES
from fer_batch.tables.parts import committed_parts

#: Maximum files in the chart of files; the table has all.
MAX_FILES = 40
_LEGEND = alt.Legend(orient="top", columns=4, title=None)


@st.cache_resource  # type: ignore[untyped-decorator]
def open_tables(folder: str) -> Tables:
    """The tables, opened once for all visitors."""
    out = Path(folder)
    return Tables(out, table_labels(out, committed_parts(out)))


def filters(tables: Tables, files: pd.DataFrame) -> tuple[Selection, list[str]]:
    """The reader's selection: files and seconds, and the emotions to show."""
    with st.sidebar:
        st.header("Filters")
        folders = st.multiselect("Folders", sorted(files["folder"].unique()), placeholder="all folders")
        within = files[files["folder"].isin(folders)] if folders else files
        paths = st.multiselect("Files", within["media_path"].tolist(), placeholder="all files")
        chosen = within[within["media_path"].isin(paths)] if paths else within
        longest = float(chosen["seconds"].max()) if len(chosen) else 0.0
        start, end = 0.0, longest
        if longest > 0:
            start, end = st.slider("Seconds of video", 0.0, longest, (0.0, longest), format="%.0f s")
        emotions = st.multiselect("Apparent expressions", tables.labels, default=list(tables.labels))
    return Selection(chosen["media_path"].tolist(), start, end), emotions


def number(value: float, pattern: str) -> str:
    """A figure as text; a dash where it is unknown."""
    return "–" if pd.isna(value) else pattern.format(value)


def glance(tables: Tables, chosen: Selection) -> None:
    """The first line of figures."""
    row = tables.glance(chosen)
    figures = (
        ("Files", row["files"], "{:,.0f}", "Files with a sampled frame"),
        ("Frames", row["frames"], "{:,.0f}", "Sampled frames"),
        ("Faces", row["faces"], "{:,.0f}", "Detected faces"),
        ("Presence", row["face_presence"], "{:.0%}", "Share of sampled frames with at least one face"),
        (
            "Engagement",
            row["engagement"],
            "{:.0f}",
            "0 to 100: half facing the camera, half expressiveness",
        ),
        ("Attention", row["attention"], "{:.0%}", "Share of a frame's faces that face the camera"),
        ("Valence", row["valence"], "{:+.2f}", "−1 to 1: happy against the strongest negative expression"),
    )
    for column, (name, value, pattern, explanation) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(name, number(value, pattern), help=explanation)


def over_time(tables: Tables, chosen: Selection, emotions: list[str], colours: alt.Scale) -> None:
    """Expressions and measures on one time axis."""
    st.subheader("Over time")
    series = tables.over_time(chosen)
    if series.empty:
        st.info("No video is chosen. Images have no time.")
        return
    many = " Means over all chosen videos, from the start of each." if len(chosen.paths) > 1 else ""
    st.caption("Mean probability of each apparent expression, over frames with faces." + many)
    second = alt.X("second:Q", title="seconds")
    long = series.melt("second", emotions, "expression", "probability").dropna()
    lines = alt.Chart(long).mark_line(point=len(series) < 60).encode(
        second, alt.Y("probability:Q", scale=alt.Scale(domain=[0, 1])),
        alt.Color("expression:N", scale=colours, legend=_LEGEND),
        tooltip=["second", "expression", alt.Tooltip("probability", format=".2f")],
    )  # fmt: skip
    st.altair_chart(lines.properties(height=360), width="stretch")
    rows = (("engagement", [0, 100]), ("valence", [-1, 1]), ("face_presence", [0, 1]), ("faces", None))
    panels = [
        alt.Chart(series.dropna(subset=name)).mark_line(color="#0072B2", point=len(series) < 60).encode(
            second, alt.Y(f"{name}:Q", title=name.replace("_", " "),
                          scale=alt.Scale(domain=domain) if domain else alt.Scale(zero=True)),
            tooltip=["second", alt.Tooltip(name, format=".2f")],
        ).properties(height=190)
        for name, domain in rows
    ]  # fmt: skip
    for columns, pair in zip((st.columns(2), st.columns(2)), (panels[:2], panels[2:]), strict=True):
        for column, panel in zip(columns, pair, strict=True):
            column.altair_chart(panel, width="stretch")


def by_file(tables: Tables, chosen: Selection, emotions: list[str], colours: alt.Scale) -> None:
    """Files compared, as bars and as a table."""
    st.subheader("Files")
    table = tables.by_file(chosen)
    shares = tables.shares(chosen)
    shown = table["media_path"].head(MAX_FILES)
    left = f" The {MAX_FILES} with the highest engagement; the table has all." if len(table) > MAX_FILES else ""
    st.caption("Share of faces by their most probable apparent expression." + left)
    wanted = shares[shares["media_path"].isin(shown) & shares["emotion"].isin(emotions)]
    if wanted.empty:
        st.info("No face in the selection.")
    else:
        bars = alt.Chart(wanted).mark_bar().encode(
            alt.X("share:Q", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            alt.Y("media_path:N", title=None, sort=None, axis=alt.Axis(labelLimit=180)),
            alt.Color("emotion:N", scale=colours, legend=_LEGEND),
            tooltip=["media_path", "emotion", "faces", alt.Tooltip("share", format=".0%")],
        )  # fmt: skip
        st.altair_chart(bars.properties(height=alt.Step(22)), width="stretch")
    hidden = [label for label in tables.labels if label not in emotions]
    st.dataframe(table.drop(columns=hidden), hide_index=True, width="stretch")


def moments(tables: Tables, chosen: Selection, emotions: list[str]) -> None:
    """The strongest moments, and the face tracks."""
    st.subheader("Strongest moments")
    st.caption(
        "Windows with the highest lower end of the 95 % interval (value_low to value_high). Windows with too few "
        "frames for an interval come last."
    )
    st.dataframe(tables.moments(chosen, [*MEASURES, *emotions]), hide_index=True, width="stretch")
    tracks = tables.tracks(chosen)
    if tracks.empty:
        return
    st.subheader("Face tracks")
    st.caption("From first to last detection. Numbers mean nothing outside their video; nobody is recognized.")
    if tracks["media_path"].nunique() == 1 and len(tracks) <= MAX_FILES:
        spans = alt.Chart(tracks).mark_bar(height=12).encode(
            alt.X("first_s:Q", title="seconds"), alt.X2("last_s"), alt.Y("track_id:O", title="face"),
            alt.Color("engagement:Q", scale=alt.Scale(scheme="viridis", domain=[0, 100])),
            tooltip=["track_id", "first_s", "last_s", "seconds_seen", alt.Tooltip("engagement", format=".0f")],
        )  # fmt: skip
        st.altair_chart(spans.properties(height=alt.Step(20)), width="stretch")
    hidden = [label for label in tables.labels if label not in emotions]
    st.dataframe(tracks.drop(columns=hidden), hide_index=True, width="stretch")


def main() -> None:
    """The whole page, for the folder that the command line names."""
    folder = sys.argv[1]
    st.set_page_config(page_title=f"{Path(folder).name} · fer_batch", layout="wide")
    tables = open_tables(folder)
    st.title("Apparent expressions")
    st.caption(
        f"{folder} · what faces look like, not what people feel. Faces that were not found are not in the numbers. "
        "Inferring emotions of people at work or in education is prohibited in the EU (AI Act, Art. 5(1)(f))."
    )
    if has_study(Path(folder)):
        with st.sidebar:
            shown = st.radio("Page", ("Audience", "Whole run"), horizontal=True)
        if shown == "Audience":
            audience(folder, table_path(Path(folder), STUDY_TABLES[-1]).stat().st_mtime)
            return
    files = tables.files()
    chosen, emotions = filters(tables, files)
    colours = alt.Scale(domain=list(tables.labels), range=[EMOTION_STYLES[label].light for label in tables.labels])
    if files.empty:
        st.warning("No file could be read; the table below says why.")
    else:
        glance(tables, chosen)
        over_time(tables, chosen, emotions, colours)
        by_file(tables, chosen, emotions, colours)
        moments(tables, chosen, emotions)
    failures = tables.failures()
    st.subheader("Not read, or only in part")
    if failures.empty:
        st.caption("Every file was read to its end.")
    else:
        st.dataframe(failures, hide_index=True, width="stretch")


if __name__ == "__main__":  # So Streamlit runs it.
    main()
