"""SkyRL's PromptDataset loads both files, and its registry makes our environment."""

import sys
from pathlib import Path

import skyrl_gym
from skyrl.train.dataset.dataset import PromptDataset
from transformers import AutoTokenizer

from tests.handoff.loaders.check import check_prompts, model


def main(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model())
    skyrl_gym.register(id="learnalign", entry_point="learnalign.handoff.skyrl:VerifierEnv")
    for name in ("skyrl.parquet", "skyrl.jsonl"):
        data = PromptDataset(str(folder / name), tokenizer, 4000, num_workers=1)
        items = [data[i] for i in range(len(data))]
        check_prompts(name, [messages for messages, _, _, _ in items], tokenizer)
        _, env_class, extras, _ = items[1]
        for text, expected in ((r"\boxed{5.0}", 1.0), (r"\boxed{6}", 0.0)):
            assert skyrl_gym.make(env_class, env_config={}, extras=extras).step(text)["reward"] == expected


if __name__ == "__main__":
    main(Path(sys.argv[1]))
