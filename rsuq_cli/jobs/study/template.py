"""The plan that `rsuq study --init` writes: it runs on the embedded digits in about three minutes."""

from __future__ import annotations

TEMPLATE = """\
# A study: every network, trained for every objective at every noise level, certified, and compared.
# `rsuq study plan.toml --dry-run` says what it would do and cost; `rsuq study plan.toml` does it, and goes on
# where it was stopped; `rsuq report --study NAME` shows what was found, with --html as a page.

name = "digits"

# Any data set that `rsuq train` takes: cifar10, folder:photos, npz:images.npz, digits-without-8,9 ...
dataset = "digits"

# One value or several: lists multiply into a grid.
sigma = [0.25]
seed = 0

# Sources are compared at equal coverage: the share of noisy calibration inputs that is answered.
coverage = [0.95, 0.9, 0.8]

# By name, or as a table where a network needs settings of its own:
# [[network]]
# model = "net.py:make"
# label = "ours"
# train = { epochs = 30, learning_rate = 0.05 }
network = ["cnn", "mlp"]

# By name, or as a table: parameters, another number of epochs, a network to begin with (fine-tuning):
# [[objective]]
# objective = "consistency"
# set = { weight = 10 }
# init = "gaussian"
# train = { epochs = 5 }
objective = ["gaussian"]

# Which uncertainty rejects. Measures that are read from the same samples cost nothing more.
# More views of every noisy input cost as many passes; they reject, or (decide = "mean") their mean is the classifier:
# [[source]]
# uncertainty = "own_margin"
# views = 2
# members = true asks the networks of all seeds as one ensemble, mc_dropout = 0.2 under 8 masks (passes = 8).
source = ["entropy", "confidence", "margin", "energy"]

# Flags of `rsuq train`, for all networks.
[train]

# Flags of `rsuq certify`. The literature has n = 100_000 and skip = 20.
[certify]
n0 = 100
n = 1000
limit = 100

# Flags of `rsuq ood`; without the table nothing is compared with inputs from elsewhere.
[ood]
sets = ["noise:smooth", "photo-patches"]
limit = 60

# Cells to leave out, and cells with settings of their own:
# [[exclude]]
# network = "mlp"
# sigma = 0.25
# [[override]]
# network = "mlp"
# certify = { n = 10000 }
"""
