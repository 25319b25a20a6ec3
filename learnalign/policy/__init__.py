"""The policy θ_s, the reference π_ref and their tokenizer. Light: torch and transformers are imported by its functions."""

from learnalign.policy.identity import NamedModel, identify, model_digest, other_than_policy
from learnalign.policy.loading import (
    adapter_base,
    device,
    is_adapter,
    load_model,
    load_named,
    load_policy,
    load_tokenizer,
    model_path,
    model_settings,
    policy_path,
    prompt_ids,
)

__all__ = [
    "NamedModel",
    "adapter_base",
    "device",
    "identify",
    "is_adapter",
    "load_model",
    "load_named",
    "load_policy",
    "load_tokenizer",
    "model_digest",
    "model_path",
    "model_settings",
    "other_than_policy",
    "policy_path",
    "prompt_ids",
]
