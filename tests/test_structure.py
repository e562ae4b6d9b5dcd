"""The shape of the package: import directions, no heavy library in workers, one list of the emotions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "fer_batch"


def test_imports_run_downward_only() -> None:
    # In a process of its own: it disables every logger there is.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def loaded_by(code: str) -> set[str]:
    """The libraries that are loaded once the code has run in a fresh interpreter, by their top-level names."""
    code += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_workers_load_no_more_than_they_need() -> None:
    """The start-up budget of docs/development/speed.md: each worker pays for what is loaded here."""
    loaded = loaded_by(
        "import fer_batch.runners.local\n"
        "from fer_batch.config import DetectorConfig, Sampling\n"
        "from fer_batch.pipeline.worker import Settings, make_worker\n"
        "make_worker(Settings(Sampling(), DetectorConfig('embedded')))"
    )
    assert {"cv2", "av", "numpy", "onnxruntime", "PIL"} <= loaded
    assert not {"tensorflow", "keras", "scipy", "pandas", "pyarrow", "h5py", "matplotlib", "jinja2"} & loaded


def test_a_run_begins_without_what_is_needed_once_workers_are_at_work() -> None:
    """The start-up budget of docs/development/speed.md: the workers wait for what is loaded here."""
    loaded = loaded_by("import fer_batch.cli, fer_batch.pipeline.resolve, fer_batch.pipeline.run")
    assert "pyarrow" in loaded
    assert not {"tensorflow", "keras", "scipy", "h5py", "matplotlib", "duckdb", "streamlit"} & loaded


@pytest.mark.slow
def test_the_package_never_imports_what_only_clusters_and_stores_need() -> None:
    code = (
        "import pkgutil, sys, fer_batch\n"
        "names = [name for _, name, _ in pkgutil.walk_packages(fer_batch.__path__, 'fer_batch.')]\n"
        "for name in names:\n"
        "    if name != 'fer_batch.__main__': __import__(name)\n"
        "print({'ray', 's3fs', 'gcsfs', 'adlfs', 'boto3', 'botocore'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "set()"


def test_the_emotions_are_listed_once() -> None:
    listing = re.compile(r"""["']angry["']\s*,\s*["'](disgust|fear)["']""")
    places = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if listing.search(path.read_text())]
    assert places == [Path("emotions.py")]
