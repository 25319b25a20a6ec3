"""One YAML per known pool; `--config NAME` finds them by name."""
