"""The settings of a run: their schema, and how they are read from YAML."""

from learnalign.config.data import PLACE, DataConfig, Example
from learnalign.config.loading import (
    apply_overrides,
    build_config,
    dump_config,
    find_config,
    flatten,
    load_config,
    ready_configs,
)
from learnalign.config.portable import NEXT, final_path, portable
from learnalign.config.preset import BOXED, HASHES, PRESETS
from learnalign.config.schema import (
    CascadeConfig,
    Config,
    EvalConfig,
    ExecutorConfig,
    GradConfig,
    ModelConfig,
    SignalConfig,
    words_of,
)
from learnalign.config.section import HOTTEST
from learnalign.config.training import AdarftConfig, GrpoConfig, UntilConfig, WarmupConfig
from learnalign.config.yaml_text import read_yaml, write_yaml

__all__ = [
    "BOXED",
    "HASHES",
    "HOTTEST",
    "NEXT",
    "PLACE",
    "PRESETS",
    "AdarftConfig",
    "CascadeConfig",
    "Config",
    "DataConfig",
    "EvalConfig",
    "Example",
    "ExecutorConfig",
    "GradConfig",
    "GrpoConfig",
    "ModelConfig",
    "SignalConfig",
    "UntilConfig",
    "WarmupConfig",
    "apply_overrides",
    "build_config",
    "dump_config",
    "final_path",
    "find_config",
    "flatten",
    "load_config",
    "portable",
    "read_yaml",
    "ready_configs",
    "words_of",
    "write_yaml",
]
