"""verl's RLHFDataset loads both files, and its reward loading finds our function."""

import sys
from pathlib import Path

from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.trainer.ppo.reward import get_custom_reward_fn
from verl.utils.dataset.rl_dataset import RLHFDataset

from tests.handoff.loaders.check import check_prompts, model


def main(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model())
    for name in ("verl.parquet", "verl.jsonl"):
        config = OmegaConf.create(
            {"max_prompt_length": 4000, "filter_overlong_prompts": True, "cache_dir": str(folder / "c")}
        )
        data = RLHFDataset(data_files=[str(folder / name)], tokenizer=tokenizer, config=config)
        rows = [data[i] for i in range(len(data))]
        check_prompts(name, [row["raw_prompt"] for row in rows], tokenizer)
        assert [row["reward_model"]["ground_truth"] for row in rows] == ["2", "5"]
    settings = {"path": "pkg://learnalign.handoff.verl", "name": "compute_score"}
    score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": settings}}))
    row = rows[1]
    for text, expected in ((r"\boxed{5.0}", 1.0), (r"\boxed{6}", 0.0)):
        given = score(
            data_source=row["data_source"],
            solution_str=text,
            ground_truth=row["reward_model"]["ground_truth"],
            extra_info=row["extra_info"],
        )
        assert given["score"] == expected, given
    print("verl: compute_score is found and judges")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
