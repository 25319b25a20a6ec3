"""Every name that a user can give, with one line each: read by help texts, settings, error messages and registries.

Nothing is imported here but the errors, so that `--help` can list the names at once. A registry finds the code of a name by
its file (learnalign/README.md says where); tests/test_names.py holds both lists against each other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from learnalign.errors import InputError, short

METHODS = {
    "learnalign": "learnability × gradient alignment, the paper's score (Eq. 8)",
    "cosine": "gradient cosines without learnability (§5.3)",
    "dot": "gradient inner products, norms included (Eq. 4)",
    "coverage": "the gradients nearest to all others', weighted by learnability (ours, in neither paper)",
    "features": "learnability × similarity of hidden states (RDS+) in place of gradients",
    "learnability": "p(1 − p) alone",
    "hardest": "lowest p above 0",
    "pass-filter": "2 to G − 2 of G rollouts correct, in seeded order (App. J)",
    "ppl-top": "highest perplexity (Eq. 9)",
    "ppl-middle": "the middle of the order by perplexity",
    "ppl-median": "perplexity nearest the median in value",
    "ifd": "highest instruction-following difficulty (Eq. 10)",
    "length": "most tokens of question and answer",
    "selectit": "highest SelectIT rating",
    "limr": "rewards that follow the average learning curve (LIMR)",
    "random": "seeded random order",
    "gain": "highest angle concentration (GAIN-RL)",
    "gain-high": "drawn with probability rising with angle concentration (GAIN-RL §4.2)",
    "gain-uniform": "drawn with the same probability for all (GAIN-RL §4.2)",
    "gain-low": "drawn with probability falling with angle concentration (GAIN-RL §4.2)",
}

# The methods whose ranking depends on a seed, `select.seed`.
DRAWN = ("pass-filter", "random", "gain-high", "gain-uniform", "gain-low")

SIGNALS = {
    "perplexity": "exp of the answer's mean NLL (Eq. 9)",
    "ifd": "the answer's mean NLL with the prompt over that without it (Eq. 10)",
    "length": "tokens of question and answer",
    "selectit": "how surely models rate the answer as good (SelectIT)",
    "features": "position-weighted mean of last-layer hidden states (RDS+)",
    "angle": "angle concentration C_intra + c·C_inter of the prompt's hidden states (GAIN-RL)",
    "limr": "how closely a training's rewards follow the average curve (LIMR)",
}

# What can choose the prompts of which gradients are taken (`grad.cascade`), the highest first; the value of `features` is a length.
CASCADES = {"learnability": "p(1 − p): p nearest to 1/2"} | {
    name: about for name, about in SIGNALS.items() if name != "features"
}

VERIFIERS = {
    "math": "the last box, else the stated answer, compared as mathematics",
    "boxed": "the last \\boxed{…} alone, compared as mathematics",
    "answer_tag": "the last <answer>…</answer>, compared as mathematics",
    "gsm8k": "the number after the last ####",
    "exact": "the whole completion, compared as text",
    "literal": "the last [ANSWER], box or <answer>, compared as a Python literal (CRUXEval)",
    "code": "the last fenced program, run on the row's tests (see verifier_sandbox)",
}

GRADERS = {
    "verl": "verl's default_compute_score, by the row's data_source",
    "trl": "TRL's accuracy_reward",
    "math-verify": "plain math-verify",
}

CURRICULA = {
    "shuffled": "every prompt once an epoch, in seeded random order",
    "gain": "a Gaussian over prompts sorted by angle concentration (GAIN-RL)",
    "adarft": "prompts nearest to a target difficulty that follows the reward (ADARFT)",
    "accuracy": "in seeded random order, prompts once fully correct left out (GAIN-RL §4.5)",
    "dynamic": "groups without spread dropped and others drawn until a step is full (DAPO)",
}

ALGORITHMS = {
    "grpo": "group-relative advantages, token ratios, KL in the loss (Eq. 1)",
    "rloo": "leave-one-out advantages, sequence ratios, KL in the reward (RLOO)",
}

REPORTERS = {
    "none": "metrics stay in metrics.jsonl",
    "tensorboard": "TensorBoard, into DIR/logs",
    "wandb": "Weights & Biases; WANDB_MODE=offline keeps it on this machine",
    "trackio": "trackio, on this machine unless trainer.trackio_space_id is set",
}

FORMATS = {
    "messages": "prompt (messages) and answer as they were scored, and your own columns",
    "source": "the input rows as they were, one JSON object a line",
    "trl": "TRL: messages, with the gold also as solution",
    "verl": "verl: data_source, prompt, reward_model, extra_info",
    "openrlhf": "OpenRLHF: input (messages), label",
    "open-instruct": "open-instruct: messages with a last turn, ground_truth, dataset",
    "nemo-rl": "NeMo-RL's ResponseDataset: input and output as texts",
    "nemo-rl-chat": "NeMo-RL's ResponseDataset: messages, for prompts with a system message",
    "skyrl": "SkyRL: prompt (messages), env_class, reward_spec",
    "slime": "slime: prompt (messages), label, metadata",
    "roll": "ROLL: messages as JSON text, ground_truth, tag, domain",
    "verifiers": "verifiers and prime-rl: question, answer, info, and a taskset module",
    "nemo-gym": "NeMo Gym: responses_create_params, verifier_metadata",
}

PROJECTIONS = {
    "kronecker": "two-sided in the hook, then a sketch: the fast one",
    "dense": "Rademacher over all parameters, as LESS",
    "exact": "no projection: exact alignment in two passes",
}

ENGINES = {
    "vllm": "vLLM in processes of its own",
    "transformers": "a Hugging Face model in this process, on a GPU or the CPU",
}

TEST_SETS = {
    "gsm8k": "GSM8K's 1,319 test questions, greedy accuracy",
    "gsm8k-sampled": "GSM8K's 1,319 test questions, pass@1 at temperature 0.8",
    "math500": "MATH500, pass@1 at temperature 0.8",
    "math": "MATH's 5,000 test questions, pass@1 at temperature 0.8",
    "amc": "the papers' AMC set, 83 questions of 2022 and 2023, avg@8 at temperature 0.8",
    "amc23": "AMC 2023's 40 questions, avg@8 at temperature 0.8",
    "aime24": "AIME 2024's 30 questions, pass@8 at temperature 0.8",
    "cruxeval": "CRUXEval-O's 800 functions, pass@1 at temperature 0.8",
    "cruxeval-input": "CRUXEval-I's 800 functions, pass@1 at temperature 0.8; runs programs",
    "livecodebench": "LiveCodeBench 2024-08 to 2025-01, 279 tasks, pass@1 of 8 at temperature 0.8; runs programs",
    "livecodebench-files": "the same from LiveCodeBench's own files, which you download; runs programs",
    "codeforces": "CodeElo's tasks with their examples as tests, pass@1 of 8 at temperature 0.8; runs programs",
    "codeforces-official": "Codeforces with official tests and checkers, pass@1 of 8; runs programs",
    "humanevalplus": "HumanEval+'s 164 functions, pass@1 of 8 at temperature 0.8; runs programs",
    "mbppplus": "MBPP+'s 378 functions, greedy accuracy; runs programs",
    "olympiadbench": "OlympiadBench's 675 open-ended questions, greedy accuracy",
    "minerva": "Minerva Math's 272 questions, greedy accuracy",
}

SCALES = {
    "tiny": "the embedded model, two steps: minutes on a laptop; shows that it runs",
    "small": "the embedded model, a pool of 1,200 prompts: hours on a laptop",
    "full": "the paper's models, pools and test sets: GPUs",
}

MEASURES = {
    "accuracy": "accuracy on each test set after training",
    "average": "mean accuracy over the test sets",
    "best": "best average over the policies evaluated",
    "best-step": "the step of the best average",
    "curve": "the average after each of the table's shares of the steps",
    "steps-to": "the step at which the reference's last average is reached",
    "steps-to-best": "the step at which the reference's best average is reached",
    "speed-up": "the reference's steps over steps-to",
    "warmup-hours": "hours of the warmup",
    "rollout-hours": "hours of the rollouts",
    "gradient-hours": "hours of the gradients",
    "select-hours": "hours of scores and choice",
    "selection-hours": "hours of all that the choice needs",
    "training-hours": "hours of the training",
    "cost-speed-up": "the reference's hours of selection and training over these",
    "chosen": "prompts chosen",
    "response-tokens": "mean tokens of the chosen prompts' rollouts",
    "norm-length": "Spearman correlation of gradient norms and response lengths",
}


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """`name`, if it is among the known ones; raises InputError with the nearest and with all of them."""
    known = list(known)
    if name in known:
        return name
    raise InputError(f"{kind} {name}: {unknown(known, name)}")


def unknown(known: Iterable[str], name: str) -> str:
    """What is wrong with a name that is not known: the nearest known one, and all of them."""
    known = list(known)
    nearest = difflib.get_close_matches(name[:100], known, n=1)  # it takes time ~ length²
    meant = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"unknown{meant}; known are {', '.join(known)}"


def lined(names: Mapping[str, str]) -> str:
    """The names with one line each, for the end of a help text."""
    lines = [f"{name}: {about}".replace("[", "\\[") for name, about in names.items()]  # rich's markup begins with it
    return "\n\n" + "\n\n".join(lines)


def tag_pair(tag: str) -> tuple[str, str]:
    """The opening and the closing tag of a reasoning: a name means <name>…</name>; else both, with a space between.

    Raises ValueError for any other text.
    """
    words = tag.split()
    if len(words) == 1 and re.fullmatch(r"\w[\w:.-]*", words[0]):
        return f"<{words[0]}>", f"</{words[0]}>"
    if len(words) == 2 and words[0].lower() != words[1].lower():
        return words[0], words[1]
    raise ValueError(
        f"{short(tag)} is no tag; give a name (scratch means <scratch>…</scratch>) or the opening and the closing tag with a "
        "space between ([[T]] [[/T]])"
    )
