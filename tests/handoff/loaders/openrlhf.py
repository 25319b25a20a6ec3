"""OpenRLHF's PromptDataset loads the file with the flags of the README, its executor the reward function beside it."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

from datasets import load_dataset
from openrlhf.datasets import PromptDataset
from openrlhf.utils.agent import SingleTurnAgentExecutor
from transformers import AutoTokenizer

from tests.handoff.loaders.check import check_prompts, model


def main(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model())
    flags = SimpleNamespace(input_key="input", label_key="label", apply_chat_template=True)
    strategy = SimpleNamespace(args=SimpleNamespace(data=flags), is_rank_0=lambda: False)
    rows = load_dataset("json", data_files=str(folder / "openrlhf.jsonl"), split="train", cache_dir=str(folder / "c"))
    data = PromptDataset(rows, tokenizer, strategy)
    items = [data[i] for i in range(len(data))]
    check_prompts("openrlhf", [prompt for _, prompt, _, _ in items], tokenizer)
    assert [label for _, _, label, _ in items] == ["2", "5"]
    judge = SingleTurnAgentExecutor(str(folder / "openrlhf_reward.py"))
    queries = [f"{items[0][1]}\\boxed{{{answer}}}<|im_end|>" for answer in ("2", "3")]
    told = [asyncio.run(judge._fetch_rewards_via_func([query], [items[0][1]], ["2"]))[0] for query in queries]
    assert [float(each["scores"]) for each in told] == [1.0, 0.0]
    print("openrlhf: its executor loads our reward function")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
