"""GRPO with TRL: stage 1 of the pipeline (`warmup`)."""

from learnalign.training.warmup_stage import WarmupResult, warmup

__all__ = ["WarmupResult", "warmup"]
