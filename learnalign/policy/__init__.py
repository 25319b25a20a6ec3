"""The policy θ_s, the reference π_ref and their tokenizer. Light: torch and transformers are imported by its functions."""

from learnalign.policy.bound import longest_token
from learnalign.policy.identity import NamedModel, identify, model_digest, other_than_policy
from learnalign.policy.loading import (
    adapter_base,
    check_reference,
    device,
    is_adapter,
    is_own_reference,
    load_model,
    load_named,
    load_policy,
    load_reference,
    load_tokenizer,
    model_path,
    model_settings,
    model_without_weights,
    policy_path,
    prompt_ids,
    prompt_text,
    reference_path,
    run_tokenizer,
)
from learnalign.policy.template import TemplateRefusal
from learnalign.policy.trained import ALL, plain_name, policies_by_step

__all__ = [
    "ALL",
    "NamedModel",
    "TemplateRefusal",
    "adapter_base",
    "check_reference",
    "device",
    "identify",
    "is_adapter",
    "is_own_reference",
    "load_model",
    "load_named",
    "load_policy",
    "load_reference",
    "load_tokenizer",
    "longest_token",
    "model_digest",
    "model_path",
    "model_settings",
    "model_without_weights",
    "other_than_policy",
    "plain_name",
    "policies_by_step",
    "policy_path",
    "prompt_ids",
    "prompt_text",
    "reference_path",
    "run_tokenizer",
]
