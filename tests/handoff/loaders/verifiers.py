"""verifiers finds the taskset module by its id, loads its tasks, and scores with our verifier."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

from transformers import AutoTokenizer
from verifiers.v1.configs.taskset import TasksetConfig
from verifiers.v1.utils.loaders import load_taskset

from tests.handoff.loaders.check import check_prompts, model


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    tasks = list(load_taskset(TasksetConfig(id="verifiers_taskset")))
    prompts = [[{"role": m.role, "content": m.content} for m in task.data.prompt] for task in tasks]
    check_prompts("verifiers", prompts, AutoTokenizer.from_pretrained(model()))
    assert [task.data.answer for task in tasks] == ["2", "5"]
    for text, expected in ((r"\boxed{5.0}", 1.0), (r"\boxed{6}", 0.0)):
        assert asyncio.run(tasks[1].correct(SimpleNamespace(last_reply=text))) == expected
    print("verifiers: the taskset's reward judges")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
