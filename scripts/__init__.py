"""Thin things to run: campaign files, benchmarks, the training of the embedded pair."""
