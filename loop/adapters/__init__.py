"""Implementations of the ports. Only `loop.bootstrap` imports them."""
