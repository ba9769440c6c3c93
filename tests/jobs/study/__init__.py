"""Tests of studies: their plans, grids, progress and runs."""
