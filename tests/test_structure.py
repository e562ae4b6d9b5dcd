"""The shape of the package: import directions, no heavy library in workers, one list of the emotions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "fer_batch"


def test_imports_run_downward_only() -> None:
    assert lint_imports(config_filename=str(REPOSITORY / "pyproject.toml"), no_cache=True) == 0


def test_workers_import_no_tensorflow() -> None:
    code = "import sys, fer_batch.work, fer_batch.runners.local; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
