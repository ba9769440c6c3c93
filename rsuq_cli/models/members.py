"""Several networks as one, each asked about the same input.

Invariant: the answers `[N, M, K]` are those of each member alone, in their order; what one writes into its input no
other sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.denoised import Denoised
from rsuq_cli.models.dropout import Dropout, with_dropout
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.models.member import Member
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.models.statistics import Statistics
from rsuq_cli.models.zoo import Shape


class Members(nn.Module):
    """Maps images `[N, C, H, W]` to the logits of every member `[N, M, K]`, and of every pass of a member."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits; gradients pass through every member."""
        return torch.cat([_of_passes(model(images.clone())) for model in self.models], dim=1)


def _of_passes(logits: torch.Tensor) -> torch.Tensor:
    """Returns logits `[N, T, K]` of a member that is asked once, or T times under dropout."""
    return logits[:, None] if logits.ndim == 2 else logits


def joined(main: LoadedModel, others: Sequence[LoadedModel]) -> LoadedModel:
    """Returns the network itself where there are no others, else one whose module is all of them, in eval mode."""
    if not others:
        return main
    return replace(main, module=Members([main.module, *(one.module for one in others)]).eval())


def under_dropout(model: LoadedModel, settings: MonteCarlo | None, shape: Shape) -> LoadedModel:
    """Returns a model whose networks are all asked under masks; of no settings, the model itself.

    Raises BadInput for a network that masks cannot be put into.
    """
    if settings is None:
        return model
    masked = [with_dropout(one, settings, shape, model.spec) for one in _networks(model.module)]
    module: nn.Module = Members(masked) if len(masked) > 1 else masked[0]
    if isinstance(model.module, Denoised):
        module = Denoised(model.module.denoiser, module)
    return replace(model, module=module.eval())


def dropout_rates(module: nn.Module) -> list[list[float]]:
    """Returns, for each network that is asked under masks, the rates of its own layers; none where it has none."""
    return [one.rates for one in _networks(module) if isinstance(one, Dropout)]


def _networks(module: nn.Module) -> list[nn.Module]:
    module = module.network if isinstance(module, Denoised) else module
    return list(module.models) if isinstance(module, Members) else [module]


def opened_members(
    members: Sequence[Member], *, shape: Shape, num_classes: int, normalisation: Statistics | None
) -> list[LoadedModel]:  # fmt: skip
    """Returns members with their weights; `normalisation` is the first network's, where its weights hold none.

    Raises BadInput where weights are gone or others than those that were named, and for weights that hold no
    normalisation beside ones that do: nothing says which is theirs.
    """
    return [_opened(one, shape, num_classes, normalisation) for one in members]


def _opened(member: Member, shape: Shape, num_classes: int, normalisation: Statistics | None) -> LoadedModel:
    if not member.file.is_file():
        raise BadInput(f"the weights of a member are not there: {member.file}", "put them back, or name others")
    mean, std = normalisation or (None, None)
    opened = open_model(
        member.spec, shape=shape, num_classes=num_classes, weights=member.file, mean=mean, std=std,
        file=member.factory_file,
    )  # fmt: skip
    if opened.weights_sha256 != member.sha256:
        raise BadInput(
            f"the weights of a member are not those that they were: {member.file}", "give the old file, or certify anew"
        )
    if opened.normalisation is not None and normalisation is None:
        raise BadInput(
            f"{member.file.name} holds no normalisation, and the first network's weights hold theirs",
            "name it first, so that it is looked for",
        )
    return opened
