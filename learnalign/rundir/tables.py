"""A run's prompts, rollouts and scores as `datasets.Dataset`, for Python users; `datasets` is imported when asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from learnalign.names import METHODS, check_name
from learnalign.rundir.files import missing, read_parquet
from learnalign.rundir.labels import Label
from learnalign.rundir.paths import Paths, Shard

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


class Tables(Paths):
    """What a run directory holds, as data sets; each raises RunError if its file is missing or damaged."""

    def shards(self) -> list[Shard]:
        """The fixed slices of the pool."""
        raise NotImplementedError

    def prompts(self) -> Dataset:
        """The pool: id, row, messages, answer, solution, `source`, the input row as JSON, and `tokens` of the rendered prompt."""
        return as_dataset([read_parquet(_there(self.prompts_file))])

    def rollouts(self) -> Dataset:
        """The rollouts stored so far, in memory: id, sample, text, reward, answer (as read), reason, tokens."""
        files = [file for shard in self.shards() if (file := self.rollouts_file(shard)).is_file()]
        return as_dataset([read_parquet(file) for file in files or [_there(self.rollouts_file(self.shards()[0]))]])

    def scores(self, method: str = "learnalign") -> Dataset:
        """The ranking of a method: id, score, rank, selected, and what the score is made of.

        Raises InputError for a name that no method has.
        """
        self.check_method(method)
        return as_dataset([read_parquet(_there(self.scores_file(method)))])

    def cut_ids(self) -> set[str]:
        """The prompts whose gradients are not taken because of `grad.cascade`; none before that is chosen."""
        if not self.cascade_file.is_file():
            return set()
        table = read_parquet(self.cascade_file, ["id", "kept"])
        return {id for id, kept in zip(table["id"].to_pylist(), table["kept"].to_pylist(), strict=True) if not kept}

    def check_method(self, label: str) -> None:
        """Raise InputError, with the names that there are, unless `label` is a method's, or one whose scores are stored."""
        if not self.scores_file(label).is_file():
            check_name("method", Label.parse(label).method, METHODS)


def as_dataset(tables: Sequence[pa.Table]) -> Dataset:
    """The rows of all tables; a column that one of them lacks is null there."""
    import pyarrow as pa
    from datasets import Dataset
    from datasets.table import InMemoryTable

    table = pa.concat_tables(tables, promote_options="default").replace_schema_metadata(None)
    return Dataset(InMemoryTable(table.combine_chunks()))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise missing(path)
    return path
