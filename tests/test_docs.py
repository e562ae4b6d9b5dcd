"""The docs name what the code has, all of it, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from fer_batch.analysis.studies.schemas import Schemas
from fer_batch.cli import app
from fer_batch.emotions import EMOTIONS
from fer_batch.explanations import EXPLANATIONS
from fer_batch.measures import DEFINITIONS
from fer_batch.records import Code, Stage
from fer_batch.tables.layout import STUDY_TABLES
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema
from fer_batch.tables.sql import views

REPOSITORY = Path(__file__).resolve().parent.parent
TABLES = (REPOSITORY / "docs" / "guide" / "tables.md").read_text(encoding="utf-8")


def test_every_error_code_is_explained_once() -> None:
    explained = re.findall(r"^\| (\w+) \| ([\w, ]+) \|", TABLES.split("| error_code |")[1], re.MULTILINE)
    assert sorted(code for code, _ in explained) == sorted(code.value for code in Code)
    stages = {stage.strip() for _, names in explained for stage in names.split(",")}
    assert stages == {stage.value for stage in Stage}


def test_the_docs_and_the_report_use_the_same_words() -> None:
    plain = " ".join(re.sub(r"[`*]", "", TABLES).split())
    missing = [words for pair in EXPLANATIONS.values() for words in pair if words not in plain]
    missing += [words for words in DEFINITIONS.values() if words not in plain]
    assert sorted(EXPLANATIONS) == sorted(Code)
    assert missing == []


def test_every_column_is_explained() -> None:
    names = {
        name for schema in (faces_schema(EMOTIONS), frames_schema(EMOTIONS), media_schema()) for name in schema.names
    }
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", TABLES)) == []


def test_every_column_of_a_study_is_explained() -> None:
    section = TABLES.split("## `study/`")[1].split("\n## ")[0]
    names = {name for _, schema in Schemas.of((), ()) for name in schema.names}
    names -= {"face_presence_low", "face_presence_high"}  # The ends of every mean's interval are explained together.
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", section)) == []
    assert [name for name in STUDY_TABLES if f"- `{name}`, a row per " not in section] == []


def test_the_readme_has_both_commands_and_they_are_targets() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = re.findall(r"^make (\w+)", readme, re.MULTILINE)
    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


def test_links_between_the_docs_lead_somewhere() -> None:
    for page in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_file_of_the_package_is_in_the_architecture() -> None:
    page = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = set()
    for section in page.split("\n### `")[1:]:
        folder = section.split("`")[0].removeprefix("fer_batch/")
        listed |= {folder + name for name in re.findall(r"^\| `(\w+\.py)` \|", section, re.MULTILINE)}
    package = REPOSITORY / "fer_batch"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    files -= {name for name in files if name.endswith("/__init__.py")}
    assert sorted(files - listed) == []
    assert sorted(listed - files) == []


def test_the_architecture_begins_with_few_lines_a_picture_and_a_glossary() -> None:
    page = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    opening, picture, rest = page.split("```", 2)
    assert len([line for line in opening.splitlines()[1:] if line]) <= 15
    assert "decode → sample → detect → crop" in picture
    assert rest.lstrip().startswith("## Glossary")


def test_prose_of_the_docs_has_lines_of_at_most_120_characters() -> None:
    too_long = []
    for page in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]:
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        lines = [line for line in prose.splitlines() if not line.lstrip().startswith("|")]
        too_long += [f"{page.name}: {line}" for line in lines if len(line) > 120]
    assert too_long == []


def test_every_sql_view_is_named_in_the_guide() -> None:
    page = (REPOSITORY / "docs" / "guide" / "dashboards.md").read_text(encoding="utf-8")
    assert [name for name in views(REPOSITORY, EMOTIONS, study=True) if f"`{name}`" not in page] == []


def test_every_command_is_named_in_the_guide() -> None:
    page = (REPOSITORY / "docs" / "guide" / "command-line.md").read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands
    assert [name for name in commands if not re.search(rf"`fer-batch {name}[ `]", page)] == []


def test_every_benchmark_is_listed() -> None:
    page = (REPOSITORY / "docs" / "development" / "benchmarks.md").read_text(encoding="utf-8")
    scripts = [path.name for path in (REPOSITORY / "benchmarks").glob("*.py")]
    assert [name for name in scripts if f"`{name}`" not in page] == []


def test_the_picture_of_the_report_is_small() -> None:
    assert (REPOSITORY / "docs" / "report.png").stat().st_size < 300_000
