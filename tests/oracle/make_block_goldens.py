"""Blocks of ggml's types with random bytes and what gguf's own decoder makes of them, for src/tensor/ggml_block_test.cpp.

  python tests/oracle/make_block_goldens.py        (needs gguf and numpy)

A file holds the blocks and then their weights as f32. The f16 numbers in the blocks are finite, everything else is random.
"""
import pathlib

import gguf
import numpy as np

HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,)}

folder = pathlib.Path(__file__).parents[1] / "golden/blocks"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(8)
for name, halves in HALVES.items():
    kind = gguf.GGMLQuantizationType[name]
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    count = 1024 // weights
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in halves:
        d = (rng.standard_normal(count) * np.exp2(rng.integers(-18, 4, count))).astype("<f2")
        blocks[:, at : at + 2] = d.view(np.uint8).reshape(count, 2)
    decoded = gguf.quants.dequantize(blocks, kind).astype("<f4")
    assert decoded.size == 1024 and np.isfinite(decoded).all()
    (folder / f"{name}.bin").write_bytes(blocks.tobytes() + decoded.tobytes())
