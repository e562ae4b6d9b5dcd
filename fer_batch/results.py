"""What a run left in its folder, opened as it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_batch import storage
from fer_batch.errors import UsageError
from fer_batch.suggestions import did_you_mean
from fer_batch.tables.layout import STUDY_FOLDER, STUDY_TABLES, SUMMARIES, SUMMARY_FOLDER

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.dataset import Dataset


class Results:
    """The results of a run, on disk or on an object store. Nothing is read before it is asked for.

    Attributes:
        path: The run's output folder.
    """

    def __init__(self, path: Path) -> None:
        """Take the output folder of a run. Raises UsageError where there are no tables of one."""
        # A program may change its working folder before it asks for a table.
        self.path = path.absolute() if isinstance(path, Path) else path
        self._parts()

    def __repr__(self) -> str:
        """The folder."""
        return f"Results({str(self.path)!r})"

    @property
    def faces(self) -> Dataset:
        """The table `faces`, a row per detected face, as a pyarrow dataset of the parts there are now."""
        return self._dataset("faces")

    @property
    def frames(self) -> Dataset:
        """The table `frames`, a row per sampled frame."""
        return self._dataset("frames")

    @property
    def media(self) -> Dataset:
        """The table `media`, a row per input file, failed ones too."""
        return self._dataset("media")

    @property
    def run_info(self) -> dict[str, Any]:
        """What run.json says: options, versions, models, counts, throughput. Empty where there is none."""
        from fer_batch.tables.run_file import read_run_file

        return read_run_file(self.path)

    def summary(self, name: str) -> pd.DataFrame:
        """A summary as a data frame.

        Args:
            name: `overall`, `by_media`, `timeline`, `by_track` or `moments`.

        Raises:
            UsageError: There is no such summary, or none was made yet.
        """
        return self._frame(SUMMARY_FOLDER, SUMMARIES, name, f"fer-batch summarize {self.path} makes them")

    def study(self, name: str) -> pd.DataFrame:
        """A table of the study that was made of these results.

        Args:
            name: `by_respondent`, `respondent_curves`, `curve`, `by_segment`, `contrasts`, `synchrony` or `moments`.

        Raises:
            UsageError: There is no such table, or no study was made yet.
        """
        return self._frame(STUDY_FOLDER, STUDY_TABLES, name, f"fer-batch study {self.path} STUDY.csv makes them")

    def _dataset(self, table: str) -> Dataset:
        import pyarrow.dataset

        paths = [self.path / table / part for part in self._parts()]
        if isinstance(self.path, Path):
            return pyarrow.dataset.dataset([str(path) for path in paths], format="parquet")
        return pyarrow.dataset.dataset([path.path for path in paths], format="parquet", filesystem=self.path.fs)

    def _parts(self) -> list[str]:
        """The names of the parts there are now. Raises UsageError where there are none: the folder may have gone."""
        from fer_batch.tables.parts import committed_parts

        parts = committed_parts(self.path)
        if not parts:
            raise UsageError(f"{self.path}: holds no tables of a run; give the --out folder of a run")
        return parts

    def _frame(self, folder: str, names: tuple[str, ...], name: str, remedy: str) -> pd.DataFrame:
        from fer_batch.tables.parquet import read_table

        if name not in names:
            raise UsageError(f"{name}: is none of {', '.join(names)}{did_you_mean(name, names)}")
        path = self.path / folder / f"{name}.parquet"
        if not storage.exists(str(path)):
            raise UsageError(f"{self.path}: holds no tables in {folder}/; {remedy}")
        frame: pd.DataFrame = read_table(path).to_pandas()
        return frame
