"""The network that a training begins with: drawn, with the weights that a library publishes, or a factory's own.

Invariant: what is drawn is a function of the seed, and the network has shown that it answers with the data's classes.
"""

from __future__ import annotations

import torch
from torch import nn

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.models.custom import CustomModel, is_custom, load_factory
from rsuq_cli.models.library import fine_tuned, from_library, prescribed
from rsuq_cli.models.loading import check_output
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.zoo import build
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.training.statistics import channel_statistics


def new_model(
    spec: str, dataset: Dataset, seed: int, pretrained: bool, watcher: Watcher
) -> tuple[nn.Module, CustomModel | None]:
    """Returns the model as it begins, and what is known of it where it is a user's own."""
    custom: CustomModel | None = None
    if is_custom(spec):
        custom = load_factory(spec, shape=dataset.shape, num_classes=dataset.num_classes, seed=seed)
        module = custom.module
    elif is_library(spec):
        prescribed(spec)  # a name is checked before data are read
        torch.manual_seed(seed)
        module = _library_model(spec, dataset, pretrained, watcher)
    else:
        build(spec, shape=dataset.shape, num_classes=dataset.num_classes)  # names are checked before data are read
        torch.manual_seed(seed)
        statistics = channel_statistics(dataset.load("train"))
        module = build(
            spec, shape=dataset.shape, num_classes=dataset.num_classes, mean=statistics.mean, std=statistics.std
        )
    module.eval()
    check_output(module, spec, dataset.shape, dataset.num_classes)
    return module.train(), custom


def _library_model(spec: str, dataset: Dataset, pretrained: bool, watcher: Watcher) -> nn.Module:
    """Returns a library's model for the data's classes, with its published weights where they fit, or drawn ones."""
    if not pretrained:
        return from_library(spec, shape=dataset.shape, outputs=dataset.num_classes).module
    model, drawn = fine_tuned(spec, shape=dataset.shape, num_classes=dataset.num_classes)
    watcher.say(
        f"begins with the weights that {spec.partition(':')[0]} publishes; drawn anew: {', '.join(drawn) or '-'}"
    )
    return model.module
