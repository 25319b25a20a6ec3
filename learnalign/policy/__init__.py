"""The policy θ_s, the reference π_ref and their tokenizer. Light: torch and transformers are imported by its functions."""

from learnalign.policy.files import adapter_base, is_adapter, reading, with_adapter
from learnalign.policy.identity import NamedModel, identify, model_digest, other_than_policy
from learnalign.policy.loading import (
    check_models,
    check_reference,
    device,
    is_own_reference,
    load_model,
    load_named,
    load_policy,
    load_reference,
    load_tokenizer,
    model_config,
    model_path,
    model_settings,
    model_without_weights,
    policy_path,
    prompt_ids,
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
    "check_models",
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
    "model_config",
    "model_digest",
    "model_path",
    "model_settings",
    "model_without_weights",
    "other_than_policy",
    "plain_name",
    "policies_by_step",
    "policy_path",
    "prompt_ids",
    "reading",
    "reference_path",
    "run_tokenizer",
    "with_adapter",
]
