"""Scenarios: one fault after another, on ours and on the peers, each ending in a row of figures."""
