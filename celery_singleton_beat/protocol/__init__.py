"""The protocol: pure functions over small records, and the promises in prose."""
