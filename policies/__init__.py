"""Decisions: pure functions of records and arrays. Every random draw takes its seed or generator as an argument."""
