"""The policy θ_s, the reference π_ref and their tokenizer. Light to import: torch and transformers come with the first model."""

from learnalign.policy.loading import (
    adapter_base,
    device,
    is_adapter,
    load_model,
    load_policy,
    load_tokenizer,
    model_path,
    model_settings,
    policy_path,
    prompt_ids,
)

__all__ = [
    "adapter_base",
    "device",
    "is_adapter",
    "load_model",
    "load_policy",
    "load_tokenizer",
    "model_path",
    "model_settings",
    "policy_path",
    "prompt_ids",
]
