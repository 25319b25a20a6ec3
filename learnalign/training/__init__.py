"""GRPO with TRL: stage 1 of the pipeline (`warmup`), and `train` on any subset."""

from learnalign.training.train_stage import TrainResult, sub_config, train
from learnalign.training.warmup_stage import WarmupResult, warmup

__all__ = ["TrainResult", "WarmupResult", "sub_config", "train", "warmup"]
