"""On a CPU, a prompt is computed once for all its completions: they are sampled together, and share rows in an update.

TRL would sample with transformers' `generate`, pad every completion to the longest, and repeat its prompt. Here the
rollouts' sampler takes the place of `generate`, and the log-probabilities of policy and reference come from rows that are
trees (trees.py). They and their gradients are the same, up to rounding. On a GPU, TRL's own ways stay.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from learnalign import processes
from learnalign.gradients.capture.sharing import Sharing, tree_inputs
from learnalign.policy.parts import base_of, context_length
from learnalign.rollouts import Request, Sampling
from learnalign.rollouts.engines.sampler import Sampler
from learnalign.rollouts.engines.slots import slot_attention
from learnalign.training.library import RLOOTrainer
from learnalign.training.settings import CHECKPOINTING
from learnalign.training.trees import plant

if TYPE_CHECKING:
    from learnalign.training.library import GRPOTrainer as Base  # TRL's RLOOTrainer has the same methods
else:
    Base = object


class Shared(Base):
    """Put before a trainer of TRL's."""

    @property
    def is_divided(self) -> bool:
        """Whether each process may hold a part of the weights, so that all have to run each layer at the same time."""
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    @functools.cached_property
    def _sharing(self) -> Sharing | None:
        """The costs of rows; None on a GPU, if policy or reference cannot share them, and if they are divided among processes."""
        models: list[Any] = [model for model in (self.model, self.ref_model) if model is not None]
        args: Any = self.args
        again = any(getattr(args, name, False) for name in CHECKPOINTING)  # TRL turns it on when training begins
        kept = again or any(base_of(model).is_gradient_checkpointing or _drops(model) for model in models)
        mixed = args.bf16 or args.fp16  # a cache would have values of both kinds
        if self.accelerator.device.type != "cpu" or kept or mixed or self.is_divided:
            return None
        sharing = Sharing(*models)
        return sharing if sharing.possible else None

    @functools.cached_property
    def _sampler(self) -> Sampler | None:
        """What samples in place of `generate`; None if settings ask for more than samples of the policy itself."""
        args: Any = self.args
        plain = (args.top_p, args.top_k or 0, args.min_p, args.repetition_penalty) == (1.0, 0, None, 1.0)
        model: Any = self.model
        if self._sharing is None or not plain or args.use_transformers_continuous_batching or args.generation_kwargs:
            return None
        base: Any = base_of(model)
        if base.config._attn_implementation != "sdpa":
            return None
        return Sampler(model, frozenset(self.eos_token_ids), context_length(model))

    def _generate_single_turn(self, prompt_ids: list[list[int]], *more: Any) -> Any:
        if self._sampler is None:
            return super()._generate_single_turn(prompt_ids, *more)
        # Of the generator that checkpoints keep. Several processes draw the seeds of all, so that a completion has the
        # same in each number of them.
        every, size = torch.randint(1 << 62, (len(prompt_ids) * processes.count(),)).tolist(), len(prompt_ids)
        seeds = iter(every[processes.rank() * size :][:size])
        groups = [(prompt, len(list(equal))) for prompt, equal in itertools.groupby(prompt_ids)]
        requests = [
            Request(str(i), prompt, list(itertools.islice(seeds, size))) for i, (prompt, size) in enumerate(groups)
        ]
        assert self.max_completion_length is not None
        sampling = Sampling(self.max_completion_length, self.temperature)
        with slot_attention(base_of(self.model)):  # type: ignore[arg-type]  # a model by now
            completions = self._sampler.generate(requests, sampling)
        sampled = [one.completion_ids for request in requests for one in completions[request.id]]
        return sampled if isinstance(self, RLOOTrainer) else (sampled, None)  # without their log-probabilities

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Int[Tensor, "N T"],
        attention_mask: Int[Tensor, "N T"],
        logits_to_keep: int,
        batch_size: int | None = None,
        **more: Any,
    ) -> Any:
        masked = not attention_mask[:, -logits_to_keep].all()  # whole completions, by mask_truncated_completions
        if self._sharing is None or masked or more.get("compute_aux_loss"):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **more
            )
        size = batch_size or len(input_ids)
        parts = [
            self._by_trees(model, ids, mask.bool(), logits_to_keep)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        logps, entropies = zip(*parts, strict=True)
        return torch.cat(logps), torch.cat(entropies) if more.get("compute_entropy") else None, None

    def _by_trees(
        self, model: Any, token_ids: Int[Tensor, "N T"], kept: Tensor, width: int
    ) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"] | None]:
        """Log-probabilities and, of the policy, entropies of the last `width` tokens; 0 for those not `kept`."""
        assert self._sharing is not None
        rows = list(zip(token_ids, kept, strict=True))
        prompts = [tuple(ids[:-width][mask[:-width]].tolist()) for ids, mask in rows]
        completions = [tuple(ids[-width:][mask[-width:]].tolist()) for ids, mask in rows]
        trees = plant(prompts, completions, width, self._sharing.row_cost)
        positions, mask = tree_inputs(trees.branches, self.accelerator.unwrap_model(model).dtype)
        with self.accelerator.autocast():
            output = model(
                input_ids=trees.token_ids,
                position_ids=positions,
                attention_mask=mask,
                shift_labels=trees.labels,
                fused_lm_head=True,
            )
        return trees.pick(output.log_probs), None if output.entropy is None else trees.pick(output.entropy)


def _drops(model: nn.Module) -> bool:
    """Whether dropout is on, which the completions of a prompt should not share."""
    chances = (getattr(module, name, 0) for module in model.modules() for name in ("p", "attention_dropout"))
    return any(isinstance(chance, float) and chance > 0 for chance in chances)
