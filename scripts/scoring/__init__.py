"""What `scripts.bench_scoring` measures: estimators and policies against pools whose truth is known."""
