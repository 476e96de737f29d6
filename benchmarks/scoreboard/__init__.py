"""The parts of `benchmarks/quality.py`: data, methods, runs, results and their report."""
