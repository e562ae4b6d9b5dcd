"""The functions of the public Python interface; `fer_batch` exports them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from fer_batch import storage
from fer_batch.config_file import make_config
from fer_batch.errors import UsageError
from fer_batch.results import Results
from fer_batch.run_config import EXPRESSIONS, FACES, RunConfig, option_info
from fer_batch.run_config import options as run_options
from fer_batch.suggestions import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image

    from fer_batch.pipeline.analyzer import PictureAnalyzer

#: Sets of options of `analyze` whose models stay loaded.
_LOADED = 4
_loading = Lock()


def run(
    paths: RunConfig | str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    out: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Results:
    """Analyse images and videos, as `fer-batch run` does.

    Like the command it does only what is missing in `out` or has changed, and a file that fails does not end the run:
    it is a row in `Results.media`.

    Args:
        paths: Files and folders, or URLs on object stores; or a RunConfig.
        out: Folder for the results.
        config: A TOML file of options, or the run.json of an earlier run; options given here win.
        **options: The options of the command by name, such as `fps=2` or `min_face=20`; see `RunConfig`.

    Returns:
        The results in `out`, those of earlier runs included.

    Raises:
        UsageError: The run can't be carried out as given; nothing was touched.
        OSError: The disk is full, or the folder has gone; the same call resumes where it stopped.
    """
    from fer_batch.log import messages_of_run
    from fer_batch.runners.main_guard import check_main_guard

    if isinstance(paths, RunConfig):
        given = {name: getattr(paths, name) for name in run_options()}
    else:
        given = {"paths": paths} if paths else {}
    given |= options if out is None else {**options, "out": out}
    chosen = make_config({name: value for name, value in given.items() if value is not None}, config)
    if chosen.engine == "local":
        check_main_guard()
    with messages_of_run(chosen.quiet, chosen.verbose, chosen.log_file):
        from fer_batch.pipeline.resolve import resolve

        resolved = resolve(chosen)
        from fer_batch.pipeline.run import run as run_pipeline

        run_pipeline(resolved)
    return Results(resolved.out)


def open(path: str | os.PathLike[str]) -> Results:
    """The results of a run.

    Args:
        path: The output folder of a run, or its URL on an object store.

    Raises:
        UsageError: There are no results of a run.
    """
    return Results(storage.location(os.fspath(path)))


def analyze(picture: str | os.PathLike[str] | Image | NDArray[np.uint8], **options: Any) -> pd.DataFrame:
    """The faces of one picture, with the values that a run has for it.

    Models stay loaded from call to call, and threads may call it at the same time.

    Args:
        picture: A file or URL; a Pillow image; or an array of uint8, gray (height, width), RGB (height, width, 3) or
            RGBA (height, width, 4), whose transparent pixels count as white.
        **options: Options of a run that concern faces and expressions, such as `detector`, `min_face`, `model` or
            `merge_disgust`, and `device`.

    Returns:
        A row per face, left to right, with the columns of the table `faces`.

    Raises:
        UsageError: An option is wrong, or `picture` is none of these.
        PictureError: The file or the image can't be read as a picture.
    """
    for name in options:
        if name not in _analysis_options():
            near = did_you_mean(name, _analysis_options())
            raise UsageError(f"{name} is no option of analyze{near}; it has {', '.join(_analysis_options())}")
    chosen = RunConfig(**options)
    with _loading:
        analyzer = _analyzer(chosen)
    return analyzer(picture)


@lru_cache(maxsize=_LOADED)
def _analyzer(config: RunConfig) -> PictureAnalyzer:
    from fer_batch.pipeline.analyzer import PictureAnalyzer

    return PictureAnalyzer(config)


@lru_cache(maxsize=1)
def _analysis_options() -> tuple[str, ...]:
    concerned = (name for name, option in run_options().items() if option_info(option).group in (FACES, EXPRESSIONS))
    return (*concerned, "device")
