"""The settings of a run: their schema, and how they are read from YAML."""

from learnalign.config.schema import (
    Config,
    DataConfig,
    GradConfig,
    ModelConfig,
    SignalConfig,
    WarmupConfig,
    apply_overrides,
    build_config,
    dump_config,
    find_config,
    flatten,
    load_config,
)

__all__ = [
    "Config",
    "DataConfig",
    "GradConfig",
    "ModelConfig",
    "SignalConfig",
    "WarmupConfig",
    "apply_overrides",
    "build_config",
    "dump_config",
    "find_config",
    "flatten",
    "load_config",
]
