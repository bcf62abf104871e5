"""Test machinery: servers, processes, clocks, faults and an outside witness."""
