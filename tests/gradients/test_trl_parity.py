"""The engine's gradient against the one TRL's GRPOTrainer takes its step with, on the same tokens, rewards and settings."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from learnalign.gradients.engine import GradientEngine, GradientSettings
from learnalign.gradients.grpo import Sample, UsedRollout, advantages
from tests.gradients.tiny import collected, referred
from tests.tiny import save_model

PROMPT = [5, 80, 33, 7, 120, 44, 61]
REWARDS = [1.0, 0.0, 0.0, 1.0]


class CatchGradients(TrainerCallback):
    """Copies the gradients that the optimiser is about to be given."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def trl_gradients(path, completions, beta, temperature):
    """Gradients of one step, the policy (changed after the reference was loaded), and the reference."""
    settings = GRPOConfig(
        output_dir=str(path / "trl"),
        loss_type="grpo",
        scale_rewards="group",
        use_bias_correction_kl=False,
        beta=beta,
        epsilon=0.2,
        temperature=temperature,
        num_generations=len(completions),
        per_device_train_batch_size=len(completions),
        max_completion_length=16,
        max_steps=1,
        max_grad_norm=0.0,
        bf16=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
    )
    catch = CatchGradients()
    tokenizer = AutoTokenizer.from_pretrained(path)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        reward_funcs=lambda completions, **kwargs: REWARDS,
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": "fixed"}]),
        processing_class=tokenizer,
        callbacks=[catch],
        rollout_func=lambda prompts, trainer: {
            "prompt_ids": [PROMPT] * len(prompts),
            "completion_ids": completions,
            "logprobs": None,
        },
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    policy = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    policy.load_state_dict(trainer.model.state_dict())
    trainer.train()
    return catch.gradients, policy.eval(), trainer.ref_model


@pytest.mark.parametrize(("beta", "temperature"), [(0.04, 1.0), (0.5, 0.8)])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_one_trainer_step_has_the_same_gradient(tmp_path, kind, beta, temperature):
    generator = torch.Generator().manual_seed(0)
    completions = [torch.randint(0, 256, (n,), generator=generator).tolist() for n in (3, 9, 1, 6)]
    expected, policy, reference = trl_gradients(save_model(tmp_path, kind), completions, beta, temperature)
    settings = GradientSettings(beta=beta, temperature=temperature, dim=64, width=8)
    engine = GradientEngine(policy, settings)
    pairs = zip(completions, advantages(REWARDS), strict=True)
    sample = Sample("x", PROMPT, [UsedRollout(ids, advantage) for ids, advantage in pairs])
    samples = referred([sample], reference, temperature)
    for name, gradient in collected(engine, samples).items():
        loss_gradient = -gradient[0]  # TRL minimises −J
        assert (loss_gradient - expected[name]).norm() <= 1e-4 * expected[name].norm(), name
