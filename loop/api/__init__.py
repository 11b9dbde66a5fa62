"""The HTTP API of `deltaloop serve`: what the ledger knows, metrics, and orders to a controller."""
