"""From YAML and `--set` to a Config, and back; a wrong key is refused with the nearest right one."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from learnalign.config.keys import hint, keys_of, type_of
from learnalign.config.portable import located, portable
from learnalign.config.preset import PRESETS
from learnalign.config.schema import Config
from learnalign.config.section import Section
from learnalign.config.yaml_text import check_text, parse_yaml, read_yaml, write_yaml
from learnalign.errors import InputError, one_line, short
from learnalign.inputs import check_file, local_path
from learnalign.names import unknown

_DEEPEST = 20  # parts of a dotted key
_MOST_PROBLEMS = 8  # of a message
_PRESET = "data.preset="  # of an override


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (or a ready config's name) and apply `a.b=value` overrides; raises InputError naming the key."""
    file = find_config(path)
    return build_config(apply_overrides(_read(file), overrides), str(file), overrides)


def _read(file: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings of a file over those of its `base`, a ready config's name or a file beside it; sections are merged."""
    settings = read_yaml(file, "config")
    if not isinstance(settings, dict):
        raise InputError(f"{file}: expected a mapping of settings such as `model: {{name: …}}`")
    settings = located(settings, file.parent)
    if "base" not in settings:
        return _expanded(settings, {}, f"{file}: ")
    base = settings.pop("base")
    if not isinstance(base, str):
        raise InputError(f"{file}: base: got {short(base)}, but it should be the name of a ready config or a YAML file")
    beside = file.parent / base
    try:
        below, above = find_config(beside if beside.is_file() else base), (*above, file.resolve())
    except InputError as error:
        raise InputError(f"{file}: base: {error}") from None
    if below.resolve() in above:
        raise InputError(f"{file}: base: {base} is based on this file itself")
    beneath = _read(below, above)
    return _merged(beneath, _expanded(settings, beneath, f"{file}: "))


def _expanded(settings: dict[str, Any], below: dict[str, Any], where: str) -> dict[str, Any]:
    """`settings` with the keys of their `data.preset` in its place; it names a source only if nothing else does."""
    data = settings.get("data")
    if not isinstance(data, dict) or "preset" not in data:
        return settings
    data = dict(data)
    name = data.pop("preset")
    if name is None:
        return {**settings, "data": data}
    if name not in list(PRESETS):
        raise InputError(f"{where}data.preset: got {short(name)}: {unknown(PRESETS, str(name))}")
    preset, beneath = PRESETS[name], below.get("data")
    named = "path" in data or (isinstance(beneath, dict) and "path" in beneath)
    given = preset.columns if named else preset.columns | preset.data
    return {"verifier": preset.verifier, **settings, "data": given | data}


def _merged(below: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` over `below`, section by section."""
    both = {key: _merged(below[key], value) for key, value in settings.items() if _are_sections(below.get(key), value)}
    return below | settings | both


def _are_sections(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def find_config(path: str | Path) -> Path:
    """The file at `path`, or the ready config of that name (`demo`, `gsm8k`, `papers/gain-math`, …)."""
    file = local_path(str(path), "config")
    if file.is_file():
        return file
    ready = ready_configs()
    if str(path) in ready:
        return ready[str(path)]
    try:
        check_file(file, "config")
    except InputError as error:
        raise InputError(f"{error}; give a YAML file or one of the ready configs: {', '.join(ready)}") from None
    return file


def ready_configs() -> dict[str, Path]:
    """The ready configs by name; the papers' settings are papers/NAME."""
    import learnalign_configs

    folder = Path(learnalign_configs.__file__).parent
    files = [file for pattern in ("*.yaml", "papers/*.yaml") for file in sorted(folder.glob(pattern))]
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def apply_overrides(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of nested `settings` with every `a.b=value` applied; values are read as YAML."""
    settings = copy.deepcopy(settings)
    for override in sorted(overrides, key=lambda each: not each.strip().startswith(_PRESET)):  # the others go on top
        key, sign, value = override.partition("=")
        *parents, last = key.strip().split(".")
        if not sign or not all(key.split(".")) or len(parents) > _DEEPEST:
            raise InputError(f"--set {one_line(override, 200)}: expected KEY=VALUE, for example --set grad.dim=4096")
        section = settings
        for depth, parent in enumerate(parents, 1):
            section[parent] = section.get(parent) or {}
            section = section[parent]
            if not isinstance(section, dict):
                raise InputError(f"--set {one_line(override, 200)}: {'.'.join(parents[:depth])} is not a section")
        try:
            section[last] = _value(value)
        except InputError as error:
            raise InputError(f"--set {one_line(override, 200)}: {error}") from None
        if override.strip().startswith(_PRESET):
            chosen = {"data": {"preset": section.pop(last)}}
            settings = _merged(settings, _expanded(chosen, settings, f"--set {one_line(override, 200)}: "))
    return settings


def _value(text: str) -> Any:
    """A YAML value; text that YAML cannot read, or reads as a comment (`#…`), is itself."""
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        check_text(text, "")
        return text
    return text if value is None and text.strip() not in ("", "~", "null", "Null", "NULL") else value


def build_config(settings: dict[str, Any], source: str = "config", overrides: Sequence[str] = ()) -> Config:
    """Validate nested settings; raises InputError naming every wrong key, the nearest right one, and where it stands: in
    one of the `overrides` applied, or else in `source`.
    """
    if old := {key: f"{key} is now called {RENAMED[key]}" for key in RENAMED if _stands_in(settings, key)}:
        raise _refusal(old, source, overrides)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for item in error.errors():
            key = _key_of(item["loc"])
            if key not in problems:
                problems[key] = _problem(key, item)
            elif not _is_of_type(item):  # the type says all that a value may be
                problems[key] += f", or {_message(key, item)}"
        raise _refusal(problems, source, overrides) from None


def _refusal(problems: dict[str, str], source: str, overrides: Sequence[str]) -> InputError:
    """The error for `problems` by key: first those of `source`, then each with its override."""
    said = {key: _override_of(key, overrides) for key in problems}
    own = [problem for key, problem in problems.items() if said[key] is None]
    texts = [f"{source}: {own[0]}", *own[1:]] if own else []
    texts += [f"--set {one_line(where, 200)}: {problems[key]}" for key, where in said.items() if where is not None]
    more = [f"and {len(texts) - _MOST_PROBLEMS} more"] if len(texts) > _MOST_PROBLEMS else []
    return InputError("; ".join(texts[:_MOST_PROBLEMS] + more))


def _override_of(key: str, overrides: Sequence[str]) -> str | None:
    """The last override that sets this key, a part of it, or the section around it."""
    for override in reversed(overrides):
        name = override.partition("=")[0].strip()
        if name == key or name.startswith(f"{key}.") or key.startswith(f"{name}."):
            return override
    return None


def dump_config(config: Config, directory: Path | None = None) -> str:
    """The resolved settings as YAML that `load_config` reads back to an equal Config, as a file of `directory` if given."""
    settings = config.model_dump(mode="json")
    if directory is not None:
        settings = portable(settings, directory)
    return write_yaml(settings)


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


# Dotted keys of earlier versions and what they are called now: an old one is refused with its new name.
RENAMED: dict[str, str] = {f"{section}.trainer.max_steps": f"{section}.steps" for section in ("warmup", "train")}


def _stands_in(settings: Any, key: str) -> bool:
    """Whether nested settings have this dotted key."""
    for part in key.split("."):
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True


def _key_of(location: tuple[str | int, ...]) -> str:
    """The dotted key of an error, without parts that name a branch of a union: the last ones, a section or list[…]."""
    sections = {section.__name__ for section in Section.__subclasses__()}
    parts = [text for part in location if (text := str(part)) not in sections and "[" not in text]
    while len(parts) > 1 and parts[-1] not in keys_of(parts[:-1]) and _is_leaf(parts[:-1]):
        parts.pop()
    return ".".join(parts)


def _is_leaf(parts: list[str]) -> bool:
    return parts[-1] in keys_of(parts[:-1]) and not keys_of(parts)


def _is_of_type(item: Any) -> bool:
    """Whether a value is not of the type of its key, or outside its bounds."""
    return bool(re.search("_(type|parsing|from_float|mismatch|error|than|equal)$", item["type"])) and (
        item["type"] != "value_error"
    )


def _message(key: str, item: Any) -> str:
    if _is_of_type(item) and (kind := type_of(key)):
        return f"it should be {kind}"
    message = one_line(item["msg"].removeprefix("Value error, "), 300)
    return message[0].lower() + message[1:]


def _problem(key: str, item: Any) -> str:
    name = one_line(key, 120)
    if item["type"] == "missing":
        return f"{name} is required"
    if item["type"] == "model_type":
        keys = ", ".join(keys_of(key.split(".")))
        return f"{name}: got {short(item['input'])}, but this is a section: give its keys, {keys}"
    if item["type"] != "extra_forbidden":
        return f"{name}: got {short(item['input'])}, but {_message(key, item)}"
    return f"unknown key {name}; {hint(key)}"
