"""What every pass of a model over samples does: rows, batches within a budget, smaller ones if memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from learnalign.errors import RunError
from learnalign.gradients.capture.batching import Batch, Row, pack, padded_tokens, rows_of
from learnalign.gradients.capture.budget import Budget, does_not_fit
from learnalign.gradients.capture.sharing import Sharing, tree_inputs
from learnalign.gradients.grpo import Sample
from learnalign.policy.memory import work_through
from learnalign.policy.parts import head_of, last_hidden
from learnalign.progress import Advance, unseen

Groups = Sequence[Sequence[Row]]  # of a batch: the rows of one sample, or one row, each
Work = Callable[[Groups], None]


class Passes:
    """Passes of `model`, which is frozen, over samples in batches of `batch_tokens`, each of which takes about `bytes_per_token`."""

    def __init__(self, model: nn.Module, batch_tokens: int | Literal["auto"], bytes_per_token: int) -> None:
        self.model = model.eval().requires_grad_(False)
        self.head = head_of(model)
        self.device = self.head.weight.device
        self.dtype = torch.promote_types(self.head.weight.dtype, torch.float32)
        self.budget = Budget(batch_tokens, self.device, bytes_per_token)
        self.sharing = Sharing(model)

    def rows(self, samples: Sequence[Sample]) -> list[list[Row]]:
        """The samples as rows; completions of one prompt share a row if that costs less."""
        return rows_of(samples, lambda sample: self.sharing.together(sample, self.budget.row_tokens))

    def over_rows(self, samples: Sequence[Sample], work: Work, advance: Advance = unseen) -> None:
        """`over_batches` for work that accepts the rows of a sample in several batches."""
        rows = self.rows(samples)
        share = {group[0].sample: 1 / sum(len(row.branches) for row in group) for group in rows}

        def counted(groups: Groups) -> None:
            work(groups)
            advance(sum(share[row.sample] * len(row.branches) for group in groups for row in group))

        self.over_batches([[row] for group in rows for row in group], counted, divide=True)

    def over_batches(self, groups: Groups, work: Work, divide: bool = False) -> None:
        """Call `work` on batches of whole groups within the token budget; out of memory halves the budget and the batch.

        What `work` did before it ran out of memory must not count. With `divide`, a group of one row that does not fit alone is
        divided between its completions.
        """

        def smaller(batch: Groups) -> list[Groups]:
            tokens = padded_tokens(batch)
            self.budget.halve(tokens)
            if len(batch) > 1:
                return list(pack(batch, self._batch_tokens))
            row = batch[0][0]
            if not divide or len(row.branches) == 1:
                raise RunError(does_not_fit(tokens))
            return [[[half]] for half in row.halves()]

        def measured(batch: Groups) -> None:
            self.budget.measured(padded_tokens(batch), lambda: work(batch))

        work_through(pack(groups, self._batch_tokens), measured, smaller)

    def _batch_tokens(self) -> int:
        return self.budget.tokens or 1  # before a GPU is measured: the longest group alone

    def hidden(self, batch: Batch) -> Float[Tensor, "B T D"]:
        """The hidden states below the head."""
        tree = () if batch.branches is None else tree_inputs(batch.branches, self.head.weight.dtype)
        return last_hidden(self.model, batch.token_ids, *tree)
