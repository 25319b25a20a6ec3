"""SkyRL (read: a956457, 2026-08-21): prompt (messages), env_class, reward_spec, and whatever else the environment reads.

SkyRL's own environments read "####" (gsm8k) or "Answer:" (aime). With any other verifier env_class is `learnalign`, an
environment that judges as p was measured; register it in your main script before training:

    skyrl_gym.register(id="learnalign", entry_point="learnalign.handoff.skyrl:VerifierEnv")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnalign.errors import InputError
from learnalign.handoff.format import Chosen, Format, Row, dotted
from learnalign.handoff.judging import score


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {
            "data_source": source,
            "prompt": prompt.messages,
            "env_class": "gsm8k" if chosen.verifier == "gsm8k" else "learnalign",
            "reward_spec": {"method": "rule", "ground_truth": prompt.answer},
            "extra_info": extra,
        }
        for prompt, source, extra in zip(chosen.prompts, chosen.sources("learnalign"), chosen.extra(), strict=True)
    ]


FORMAT = Format(
    rows=rows,
    suffixes=(".parquet", ".jsonl"),
    uniform=True,
    template=lambda settings: f"generator.batched=false {dotted('++generator.chat_template_kwargs')(settings)}",
)


def __getattr__(name: str) -> Any:
    """`VerifierEnv`, a subclass of SkyRL's BaseTextEnv, made when it is first asked for."""
    if name != "VerifierEnv":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    except ImportError as error:
        raise InputError(f"{name} is for training with SkyRL, which is not installed ({error})") from None

    class VerifierEnv(BaseTextEnv):
        def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
            super().__init__()
            self.extras = extras or {}

        def step(self, action: str) -> Any:
            reward = score(action, self.extras["reward_spec"]["ground_truth"], self.extras.get("extra_info"))
            return BaseTextEnvStepOutput(observations=[], reward=reward, done=True, metadata={})

    return VerifierEnv
