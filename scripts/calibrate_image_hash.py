"""How close may two image hashes be before the images count as the same? Prints what each threshold does.

    python -m scripts.calibrate_image_hash [--scenes 1500]

    false hits   share of pool pictures within the distance of *any* of as many held-out pictures, by source
    pair hits    share of (pool, held-out) pairs within the distance
    copies       share of altered copies (recompressed, rescaled, brighter, darker) within the distance of the original

The last line is JSON: per source, a row per distance. `synthesis.image_distance` and `loop.adapters.images.HASH_SIZE`
are set from it: at most 1 % false hits and at least 95 % of the copies, for drawn scenes and for easy-vqa alike.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from loop.adapters.images import HASH_SIZE, decode, image_hash
from loop.config import Synthesis
from loop.world import easy_vqa
from loop.world.scenes import KINDS, draw, new_scene
from loop.world.tables import Split

DISTANCES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 100)
MAX_COPIED = 200

Row = dict[str, float]


def pool_and_held_out(source: str, num: int, seed: int) -> tuple[list[Image.Image], list[Image.Image]]:
    """Up to `num` pictures on each side of the border: `scenes`, `unseen` (tables and styles) or `easy_vqa`."""
    if source == "easy_vqa":
        pool = sorted({drawn.image_id for drawn in easy_vqa.pool_questions()})[:num]
        test = sorted({drawn.image_id for drawn in easy_vqa.test_questions()})[:num]
        return [easy_vqa.open_image(at) for at in pool], [easy_vqa.open_image(at, test=True) for at in test]
    held_out = Split.UNSEEN if source == "unseen" else Split.HELD_OUT
    return _scenes(Split.POOL, num, seed), _scenes(held_out, num, seed + 1)


def _scenes(split: Split, num: int, seed: int) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [draw(new_scene(split, KINDS[index % len(KINDS)], rng)) for index in range(num)]


def _jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def copy(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        return decode(buffer.getvalue())

    return copy


def _scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.resize(
        (round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC
    )


def _brightness(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: ImageEnhance.Brightness(picture).enhance(factor)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg 85": _jpeg(85),
    "jpeg 60": _jpeg(60),
    "0.9x": _scaled(0.9),
    "1.1x": _scaled(1.1),
    "2x": _scaled(2.0),
    "darker": _brightness(0.9),
    "brighter": _brightness(1.1),
}


def calibrate(pool: Sequence[Image.Image], held_out: Sequence[Image.Image]) -> list[Row]:
    """For each distance: false hits, pair hits and found copies, each a share in [0, 1]."""
    held_out_bits = _bits(held_out)
    apart = np.array([_distances(row, held_out_bits) for row in _bits(pool)])  # [pool, held-out]
    nearest = apart.min(axis=1)
    copied = held_out[:MAX_COPIED]
    altered = [[alter(picture) for picture in copied] for alter in COPIES.values()]
    off = np.concatenate([np.bitwise_count(_bits(row) ^ held_out_bits[: len(copied)]).sum(axis=1) for row in altered])
    return [
        {
            "distance": at,
            "false_hits": float((nearest <= at).mean()),
            "pair_hits": float((apart <= at).mean()),
            "copies": float((off <= at).mean()),
        }
        for at in DISTANCES
    ]


def _bits(pictures: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """Hashes as bytes, [n, bits / 8]."""
    num_bytes = HASH_SIZE * HASH_SIZE // 8
    return np.array([list(image_hash(picture).to_bytes(num_bytes, "big")) for picture in pictures], dtype=np.uint8)


def _distances(row: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.bitwise_count(row ^ others).sum(axis=1, dtype=np.int64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table per source, and the whole as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=1500, help="pictures on each side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    default = Synthesis().image_distance
    tables: dict[str, list[Row]] = {}
    for source in ("scenes", "unseen", "easy_vqa"):
        pool, held_out = pool_and_held_out(source, options.scenes, options.seed)
        tables[source] = calibrate(pool, held_out)
        print(f"{source}: {len(pool)} pool and {len(held_out)} held-out pictures, {HASH_SIZE**2} bits")
        print("  distance  false hits  pair hits  copies")
        for row in tables[source]:
            mark = "  <- default" if row["distance"] == default else ""
            shares = f"{row['false_hits']:10.2%}  {row['pair_hits']:9.4%}  {row['copies']:6.1%}"
            print(f"  {row['distance']:8.0f}  {shares}{mark}")
    print(json.dumps({"hash_bits": HASH_SIZE**2, "default": default, "sources": tables}))


if __name__ == "__main__":
    main()
