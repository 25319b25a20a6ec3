"""Whether prompt and completion of a training fit into the model's context; knows no TRL, whose import takes seconds."""

from __future__ import annotations

from learnalign.config import Config, GrpoConfig
from learnalign.errors import InputError
from learnalign.policy import model_config


def check_context(config: Config, model: str, section: str, settings: GrpoConfig, longest_prompt: int) -> None:
    """Raise InputError if prompt and completion can become longer than `model` takes."""
    limit = getattr(model_config(config, model).get_text_config(), "max_position_embeddings", None)
    if limit is not None and longest_prompt + settings.max_completion_length > limit:
        room = limit - longest_prompt
        way = f"give at most {room}, or lower data.max_prompt_tokens" if room > 0 else "lower data.max_prompt_tokens"
        raise InputError(
            f"{section}.max_completion_length: got {settings.max_completion_length}, but {model} takes {limit} tokens, and the "
            f"longest prompt has {longest_prompt}: {way}"
        )
