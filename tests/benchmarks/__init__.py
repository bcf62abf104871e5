"""Benchmarks: what the package costs beside a bare loop, stock beat and RedBeat.

Run `python -m tests.benchmarks` from the root of the repository. Every ratio is taken between
two sides measured in turn (A B A B) in the same run; targets are printed beside, never enforced.
"""
