"""Tests, in layers: unit, contract, twins, integration, acceptance; and benchmarks."""
