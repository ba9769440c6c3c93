"""Images by their pixels: one hash for bytes and floats, packed and read again."""

from __future__ import annotations

import numpy as np
import torch

from rsuq_cli.datasets.contents import SeenImages, content_hashes

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2500, 1, 3, 3), dtype=np.uint8))


def test_bytes_and_floats_have_one_hash() -> None:
    assert content_hashes(IMAGES) == content_hashes(IMAGES.float() / 255)
    assert len(set(content_hashes(IMAGES))) == len(IMAGES)


def test_what_was_seen_is_known_by_its_pixels() -> None:
    seen = SeenImages.of(torch.cat([IMAGES[:1500], IMAGES[:10]]))
    again = SeenImages.unpacked(seen.packed())
    assert again is not None
    assert again.among(IMAGES).tolist() == [True] * 1500 + [False] * 1000
    assert again.among(IMAGES[:0]).tolist() == []
    assert len(seen.packed()) < 1500 * 11


def test_text_that_is_none_of_ours() -> None:
    assert SeenImages.unpacked("no base64!") is None
    assert SeenImages.unpacked("AAAA") is None  # three bytes are no number
