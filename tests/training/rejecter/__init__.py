"""Tests of the fit of a rejecter."""
