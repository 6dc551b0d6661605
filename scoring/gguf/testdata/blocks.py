"""Writes blocks.jsonl beside this file: random blocks of each type and what ggml's own Python package makes of them.

    pip install numpy gguf==0.19.0
    python blocks.py
"""
import base64, json, os
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, dequantize

rng = np.random.default_rng(7)
# Where in a block of the type its f16 numbers lie: they must be finite.
HALVES = {T.BF16: [], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'blocks.jsonl'), 'w') as out:
    for t, halves in HALVES.items():
        values, size = GGML_QUANT_SIZES[t]
        blocks = 256 if values == 1 else 3
        data = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
        for at in halves:
            data[:, at:at + 2] = rng.normal(0, 0.1, (blocks, 1)).astype(np.float16).view(np.uint8)
        if t == T.BF16:
            data = (rng.normal(0, 1, blocks).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        x = dequantize(data.reshape(1, -1), t).astype('<f4')
        b64 = lambda a: base64.b64encode(a.tobytes()).decode()
        out.write(json.dumps(dict(name=t.name, type=int(t), data=b64(data), f32=b64(x))) + '\n')
