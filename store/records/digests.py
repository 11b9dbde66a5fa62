"""Digests and seeds: how values become ids, and how every random draw gets a seed of its own."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(data: bytes) -> str:
    """The sha256 of some bytes, in hex: the id of a blob."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """One JSON text per value: sorted keys, no spaces, no NaN. ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """The sha256 of a JSON-able value's canonical text."""
    return digest(canonical_json(value).encode("utf-8", "surrogatepass"))


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from named parts, e.g. (campaign seed, round, stage, prompt id, sample index)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
