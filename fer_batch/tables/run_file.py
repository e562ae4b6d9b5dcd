"""run.json: how the tables of a folder were made, for people and for the next run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fer_batch.atomic import write_atomic, write_json
from fer_batch.config import SCHEMA_VERSION, ResolvedConfig
from fer_batch.config_file import OPTIONS_KEY
from fer_batch.tables.layout import RUN_FILE
from fer_batch.version import __version__

_PACKAGES = (
    "tensorflow", "keras", "onnxruntime", "opencv-python-headless", "av", "pillow", "pi-heif", "numpy", "pandas",
    "pyarrow",
)  # fmt: skip


def read_run_file(out: Path) -> dict[str, Any]:
    """What run.json says; empty where there is none or it can't be read."""
    try:
        values = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def keep_run_file(out: Path) -> bytes | None:
    """The content of run.json, None where there is none."""
    try:
        return (out / RUN_FILE).read_bytes()
    except FileNotFoundError:
        return None


def restore_run_file(out: Path, content: bytes | None) -> None:
    """Have run.json be as it was when `keep_run_file` read it."""
    if content is None:
        (out / RUN_FILE).unlink(missing_ok=True)
    else:
        write_atomic(out / RUN_FILE, lambda temporary: temporary.write_bytes(content))


def write_run_file(
    config: ResolvedConfig,
    status: str,
    started: datetime,
    counts: Mapping[str, Any],
    device: str | None,
    last_part: int,
) -> None:
    """Write run.json. `status`: running, done, interrupted or failed; `counts`: of the folder and of this run;
    `device`: what classified the faces, None where none was classified; `last_part`: the number of the last part file.
    While the run goes on, `ended` and `throughput` are null."""
    ended = None if status == "running" else datetime.now(UTC)
    write_json(
        config.out / RUN_FILE,
        {
            "status": status,
            "schema_version": SCHEMA_VERSION,
            "fingerprint": config.fingerprint(),
            OPTIONS_KEY: config.options,
            "configuration": {**config.result_settings(), **_operation(config)},
            "model": {
                "name": config.model.name,
                "version": config.model.version,
                "sha256": config.model.weights_sha256,
                "folder": str(config.model_folder.absolute()),
                "device": device,
            },
            "detector": {"name": config.detector.name, "sha256": config.detector.model_sha256},
            "versions": package_versions(),
            "started": started.isoformat(),
            "ended": ended and ended.isoformat(),
            "counts": dict(counts),
            "throughput": ended and _throughput(counts, (ended - started).total_seconds()),
            "last_part": last_part,
        },
    )


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide results."""
    versions = {"python": platform.python_version(), "fer-batch": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed under this name"
    return versions


def _operation(config: ResolvedConfig) -> dict[str, Any]:
    """The part of the configuration that does not decide the rows."""
    return {
        "inputs": list(config.inputs),
        "include": list(config.include),
        "exclude": list(config.exclude),
        "follow_symlinks": config.follow_symlinks,
        "all_files": config.all_files,
        "device": config.device,
        "batch_size": config.batch_size,
        "workers": config.workers,
        "engine": config.engine,
        "classifiers": config.classifiers,
        "timeout": config.timeout,
        "window": config.window,
        "study": config.study and str(config.study),
        "segments": config.segments and str(config.segments),
    }


def _throughput(counts: Mapping[str, Any], seconds: float) -> dict[str, float]:
    return {
        "wall_s": round(seconds, 3),
        "media_seconds_per_s": round(counts["processed_media_seconds"] / seconds, 3),
        "frames_per_s": round(counts["processed_frames"] / seconds, 3),
        "faces_per_s": round(counts["processed_faces"] / seconds, 3),
    }
