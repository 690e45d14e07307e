"""Optimizer of a fine-tune, and the mode of a network in training (Appendix A.2)."""

import torch
from torch import nn

from qanalysis.nn.learned import LearnedModel
from qanalysis.schema.params.qat import BatchNorm, QatParams
from qanalysis.schema.results.qat import QatRecipe


def optimizer_for(network: nn.Module, params: QatParams, recipe: QatRecipe) -> torch.optim.Optimizer:
    """SGD or AdamW: matrices and kernels with weight decay, vectors without, learned ranges with their own settings."""
    alphas = list(network.alphas) if isinstance(network, LearnedModel) else []
    known = {id(alpha) for alpha in alphas}
    trained = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay, "follows": True},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "follows": True},
        {
            "params": alphas,
            "weight_decay": params.range_weight_decay,
            "initial_lr": params.range_learning_rate,
            "follows": False,
        },
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=params.momentum)


def train_mode(network: nn.Module, batch_norm: BatchNorm) -> None:
    """Training mode, with batch norm's statistics moving or as they are."""
    network.train()
    if batch_norm != "trained":
        for module in network.modules():
            if isinstance(getattr(module, "running_mean", None), torch.Tensor):
                module.eval()
