"""What `benchmarks/speed.py` measures: the ways of doing each task, and the tasks."""
