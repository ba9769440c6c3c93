"""rsuq: how far can a classifier's answer be trusted?

Randomized smoothing with uncertainty: two certified l2 radii for every input, kept in a database.

From Python, without the command line. Certify any `nn.Module` on images `[N, C, H, W]` in [0, 1], here a network that
says 1 where the four pixels sum to more than 0.8:

>>> import rsuq_cli as rsuq, torch
>>> class Bright(torch.nn.Module):
...     def forward(self, x):
...         margin = 6 * (x.flatten(1).sum(1) - 0.8)
...         return torch.stack([-margin, margin], dim=1)
>>> images, labels = torch.tensor([0.0, 0.5])[:, None, None, None].expand(2, 1, 2, 2), [0, 1]
>>> result = rsuq.certify(Bright(), images, labels, sigma=0.25, n=1000, uncertainty="entropy", threshold=0.5)
>>> " ".join(result.decision), (result.radius_cc > 0.2).tolist()
('certain certain', [True, True])
>>> result.figures(radii=[0.25]).accuracy
1.0

What the command line stored comes back as pandas frames: `runs()` are the runs, `samples(run)` the certificates of one,
`curves(run, radii)` its certified curves (`db` as on the command line, by default the user's own).

>>> rsuq.runs().loc[1, ["model", "dataset", "status"]].tolist()
['cnn', 'digits', 'complete']
>>> rsuq.samples(1)[["input_index", "radius_cc", "radius_ncl"]].shape
(4, 3)
>>> rsuq.curves(1, radii=[0.0, 0.25]).query("guarantee == 'cc'").value.tolist()
[0.75, 0.5]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsuq_cli.version import __version__ as __version__

if TYPE_CHECKING:
    from rsuq_cli.api.frames import curves, runs, samples
    from rsuq_cli.api.tensors import certify

__all__ = ["certify", "curves", "runs", "samples"]

# Where each name lives. The modules need torch or pandas, and `rsuq --help` must not wait for those.
_HOMES = {
    "certify": "rsuq_cli.api.tensors",
    "curves": "rsuq_cli.api.frames",
    "runs": "rsuq_cli.api.frames",
    "samples": "rsuq_cli.api.frames",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
