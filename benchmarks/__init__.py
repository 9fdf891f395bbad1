"""Throughput, scaling and overhead of identax; `python -m benchmarks` measures and writes one JSON file per commit."""
