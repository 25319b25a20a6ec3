"""verifiers and prime-rl: question, prompt, answer, info (rows of versions before 1), and a taskset module for the v1 interface.

Read and tried: 0.4.0. FILE_taskset.py beside the file is a package of one module: put its folder on PYTHONPATH and name it,
`--env.taskset.id FILE_taskset`. It judges as p was measured, so that learnalign must be installed beside verifiers.
"""

from __future__ import annotations

from collections.abc import Sequence

from learnalign.handoff.format import Chosen, Format, Row

TASKSET = '''"""The subset {file} as a taskset of verifiers: made by learnalign, may be edited."""

import asyncio
import json
from pathlib import Path

import verifiers.v1 as vf
from learnalign.handoff.judging import score

FILE = Path(__file__).with_name({file!r})


class SubsetData(vf.TaskData):
    answer: str
    info: dict


class SubsetTask(vf.Task[SubsetData, vf.State, vf.TaskConfig]):
    @vf.reward
    async def correct(self, trace: vf.Trace) -> float:
        return await asyncio.to_thread(score, trace.last_reply, self.data.answer, self.data.info)


class SubsetTaskset(vf.Taskset[SubsetTask, vf.TasksetConfig]):
    def load(self):
        for line in FILE.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            data = SubsetData(id=row["id"], prompt=row["prompt"], answer=row["answer"], info=row["info"])
            yield SubsetTask(data, self.config.task)


__all__ = ["SubsetTaskset"]
'''


def rows(chosen: Chosen) -> Sequence[Row]:
    return [
        {
            "id": prompt.id,
            "question": prompt.messages[-1]["content"],
            "prompt": prompt.messages,
            "answer": prompt.answer,
            "info": extra,
        }
        for prompt, extra in zip(chosen.prompts, chosen.extra(), strict=True)
    ]


def taskset(chosen: Chosen, file: str) -> dict[str, str]:
    """The taskset module that reads `file`."""
    return {"_taskset.py": TASKSET.replace("{file!r}", repr(file)).replace("{file}", file)}


FORMAT = Format(rows=rows, beside=taskset)
