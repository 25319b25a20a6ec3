"""The policy θ_s, the reference π_ref and their tokenizer. Light to import: torch and transformers come with the first model."""

from learnalign.policy.loading import (
    device,
    is_adapter,
    load_model,
    load_policy,
    load_tokenizer,
    model_path,
    policy_path,
    prompt_ids,
)

__all__ = [
    "device",
    "is_adapter",
    "load_model",
    "load_policy",
    "load_tokenizer",
    "model_path",
    "policy_path",
    "prompt_ids",
]
