"""What methods read: the pool, its success rates and signals, and vectors streamed from disk."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from learnalign.errors import InputError, RunError, counted
from learnalign.gradients.sums import SUMS, WEIGHTS
from learnalign.prompts import load_prompts
from learnalign.rollouts.success import success_table
from learnalign.rundir import RunDir, Shard
from learnalign.rundir.files import FINGERPRINT, Buffer, Head, Place, damaged, read_head, read_parquet, read_places
from learnalign.rundir.stages import digest_of
from learnalign.signals import find_signal, stored_fingerprint, stored_model

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class SuccessColumns:
    """Columns of success.parquet in the order of the pool; `rate` is NaN if no rollout was scored."""

    scored: Int[np.ndarray, "n"]
    correct: Int[np.ndarray, "n"]
    rate: Float[np.ndarray, "n"]
    learnability: Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Vectors:
    """A block of prompts' vectors: their places in the pool, unit rows as they are stored, and the norms before scaling."""

    places: Int[np.ndarray, "rows"]
    units: Float[torch.Tensor, "rows dim"]
    norms: Float[np.ndarray, "rows"]


def gathered(blocks: Iterable[Vectors]) -> Vectors:
    """All blocks as one, in memory, with float32 rows: a copy, since a block is overwritten by the next."""
    copies = [Vectors(block.places, block.units.clone(), block.norms) for block in blocks]
    if not copies:
        return Vectors(np.zeros(0, np.int64), torch.zeros(0, 0), np.zeros(0))
    places, norms = (np.concatenate([getattr(block, name) for block in copies]) for name in ("places", "norms"))
    return Vectors(places, torch.cat([block.units for block in copies]).float(), norms)


@dataclass(frozen=True)
class _Checked:
    """A file of gradients that was compared with what was written: its prompts' places in the pool, norms, where its features are."""

    places: Int[np.ndarray, "rows"]
    norms: Float[np.ndarray, "rows"]
    features: Place


class Pool:
    """A run's n prompts and their measurements; files are read on first use, fingerprints computed once.

    Every reader raises RunError naming the command that makes a missing file, and InputError for a file made with other
    settings.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.prompts = load_prompts(run)
        self.id_column = self.prompts.id_column
        self._heads: dict[int, tuple[Head, Int[np.ndarray, "rows"]]] = {}  # of gradients, by shard; prompts' places
        self._checked: list[_Checked] = []  # of the files of gradients, those that have been read and compared
        self.fingerprint = functools.cache(run.fingerprint)  # of a stage
        self.signal_fingerprint = functools.cache(lambda name: stored_fingerprint(run, find_signal(name)))

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def ids(self) -> list[str]:
        """The prompts' ids; `id_column` takes less time where a column does."""
        return self.prompts.ids

    @functools.cached_property
    def success(self) -> SuccessColumns:
        """Success rates of all n prompts."""
        table, path = success_table(self.run), self.run.success_file
        places = self._rows(table, path)
        if missing := int((np.bincount(places, minlength=len(self)) == 0).sum()):
            command = f"learnalign rollout {self.run.quoted}"
            raise RunError(
                f"{path} lacks {missing} of {counted(len(self), 'prompt')}; run `{command}` to its end first"
            )
        names = ("scored", "correct", "success_rate", "learnability")
        scored, correct, rate, learnability = (self._column(table, name, places) for name in names)
        return SuccessColumns(scored.astype(np.int64), correct.astype(np.int64), rate, learnability)

    @property
    def known_success(self) -> SuccessColumns | None:
        """`success`, or None before rollouts, for methods that do not need it."""
        return self.success if self.run.success_file.is_file() else None

    @functools.cached_property
    def success_digest(self) -> str | None:
        """A digest of success.parquet; None before rollouts."""
        return digest_of(self.run.success_file) if self.run.success_file.is_file() else None

    def signal_model(self, name: str) -> str:
        """The model that a signal's values are of: policy, base, train/NAME or a directory."""
        model = stored_model(self.run.signal_file(name))
        return model.name if model else "policy"

    def signal(self, name: str, *columns: str) -> list[Float[np.ndarray, "n"]]:
        """Columns of a signal, NaN for prompts without a value."""
        table = self._signal(name)
        places = self._rows(table, self.run.signal_file(name))
        return [self._column(table, column, places) for column in columns]

    def _signal(self, name: str) -> pa.Table:
        path, command = self.run.signal_file(name), f"learnalign signal {self.run.quoted} {name}"
        if path.is_file() and (model := self.signal_model(name)) != "policy":
            command += f" --policy {model}"
        return self._read(path, self.signal_fingerprint(name) if path.is_file() else "", command)

    def exact(self) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Exact alignments (1/n Σ_j V_j cos(g_i, g_j)) and gradient norms, NaN for prompts without a gradient."""
        path = self.run.exact_file
        table = self._read(path, self.fingerprint("grad"), f"learnalign grad {self.run.quoted}")
        places = self._rows(table, path)
        return self._column(table, "alignment", places), self._column(table, "norm", places)

    def gradients(self) -> Iterator[Vectors]:
        """Features φ as unit rows, shard by shard; those stored in float16 are units up to its rounding.

        The rows are valid until the next shard is asked for.
        """
        run, command = self.run, f"learnalign grad {self.run.quoted}"
        if run.config.grad.projection == "exact":
            raise InputError(
                "grad.projection: exact stores alignments but no features, which this method needs; use method "
                "learnalign, or compute features in a new run directory with --set grad.projection=kronecker"
            )
        buffer = Buffer()
        for shard, path in self._gradient_files:
            if shard.index < len(self._checked):
                checked = self._checked[shard.index]
                yield Vectors(checked.places, torch.from_numpy(checked.features.read(buffer)), checked.norms)
                continue
            if not os.path.isfile(path):
                raise RunError(f"{path} is missing; run `{command}` first")
            head, arrays = read_places(path, "features", buffer, self._heads.get(shard.index, (None,))[0])
            places, norms = self._places_by(head, shard, path), arrays["norms"].astype(np.float64)
            self._checked.append(_Checked(places, norms, head.places["features"]))
            yield Vectors(places, torch.from_numpy(arrays["features"]), norms)

    def sums(self, weights: Float[np.ndarray, "k n"]) -> Float[torch.Tensor, "k D"] | None:
        """Σ_j w_j û_j from the files that `grad` wrote; None unless every file has sums by exactly these weights.

        Read before the rest of their file: damage to them is noticed when `gradients` reads that.
        """
        total, buffer = None, Buffer()
        for shard, path in self._gradient_files:
            try:
                head, arrays = read_head(path, "features", buffer)
                places = self._places_by(head, shard, path)
            except (RunError, InputError, OSError):
                return None  # `gradients` says what is wrong
            of_file, sums = arrays.get(WEIGHTS), arrays.get(SUMS)
            if of_file is None or of_file.dtype != np.float64 or not np.array_equal(of_file, weights[:, places]):
                return None
            if sums is None or sums.dtype != np.float64 or sums.ndim != 2 or len(sums) != len(weights):
                return None
            if total is not None and sums.shape != total.shape:
                return None
            total = torch.from_numpy(sums.copy()) if total is None else total.add_(torch.from_numpy(sums))
        return total

    def _places_by(self, head: Head, shard: Shard, path: Path) -> Int[np.ndarray, "rows"]:
        """Places in the pool of a file's prompts; raises RunError if its head is another than that which was read before."""
        known, places = self._heads.get(shard.index, (head, None))
        if known.digest != head.digest:
            raise damaged(path)
        if places is None:
            command = f"learnalign grad {self.run.quoted}"
            _check_settings(path, head.metadata.get(FINGERPRINT), self.fingerprint("grad"), command)
            places = self._places_in(shard, head.metadata.get("ids", ""), path)
            self._heads[shard.index] = head, places
        return places

    @functools.cached_property
    def _gradient_files(self) -> list[tuple[Shard, Path]]:
        return [(shard, self.run.gradients_file(shard)) for shard in self.run.shards()]

    def hidden_features(self) -> Iterator[Vectors]:
        """Vectors of the `features` signal (position-weighted mean hidden states) as unit rows."""
        path, table = self.run.signal_file("features"), self._signal("features")
        table = table.filter(table["vector"].is_valid())
        for batch in table.to_batches(max_chunksize=4096):
            vectors = torch.from_numpy(np.stack(batch["vector"].to_numpy(zero_copy_only=False)))
            norms = vectors.double().norm(dim=1)
            units = (vectors.double() / norms.clamp_min(1e-300)[:, None]).float()
            yield Vectors(self.places(batch["id"].to_pylist(), path), units, norms.numpy())

    def _read(self, path: Path, fingerprint: str, command: str) -> pa.Table:
        if not path.is_file():
            raise RunError(f"{path} is missing; run `{command}` first")
        table = read_parquet(path)
        stored = (table.schema.metadata or {}).get(FINGERPRINT.encode(), b"").decode()
        _check_settings(path, stored, fingerprint, command)
        return table

    def _column(self, table: pa.Table, name: str, places: Int[np.ndarray, "rows"]) -> Float[np.ndarray, "n"]:
        values = np.full(len(self), np.nan)
        values[places] = table[name].to_numpy().astype(np.float64)
        return values

    def _rows(self, table: pa.Table, path: Path) -> Int[np.ndarray, "rows"]:
        """Places in the pool of a table's rows."""
        if table["id"].equals(self.id_column):
            return np.arange(len(self))
        return self.places(table["id"].to_pylist(), path)

    def _places_in(self, shard: Shard, text: str, path: Path) -> Int[np.ndarray, "rows"]:
        """`places` of prompts of one shard, whose ids are a JSON list in a file's header, without a look at the others."""
        own = dict(zip(self.ids[shard.start : shard.stop], range(shard.start, shard.stop), strict=True))
        try:
            ids = json.loads(text)
            return np.fromiter(map(own.__getitem__, ids), np.int64, len(ids))
        except KeyError:
            return self.places(ids, path)
        except (TypeError, ValueError):
            raise damaged(path) from None

    def places(self, ids: Sequence[str], path: Path) -> Int[np.ndarray, "rows"]:
        """Places in the pool of the `ids` in file `path`."""
        try:
            return np.fromiter((self.prompts.places[id] for id in ids), np.int64, len(ids))
        except KeyError as error:
            raise RunError(f"{path} has prompt {error.args[0]}, which is not in the pool; delete the file") from None


def _check_settings(path: Path, stored: str | None, expected: str, command: str) -> None:
    if stored != expected:
        raise InputError(
            f"{path} was made with other settings, data or model than this run directory has; undo the change, run "
            f"`{command} --overwrite` to recompute it, or choose a new run directory"
        )
