"""Makes the encoder's GGUF file (matrices Q8_0, the rest F32) of the ONNX file of bge-small-en-v1.5 and its tokenizer.

    pip install numpy gguf onnx
    python onnx_to_gguf.py bge-small-en-v1.5.onnx bge-small-en-v1.5-tokenizer.json bge-small-en-v1.5.Q8_0.gguf
"""

import json
import sys

import gguf
import numpy as np
import onnx
from onnx import numpy_helper

LAYER = "encoder.layer."
MATRICES = {
    "attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense", "ffn_up": "intermediate.dense", "ffn_down": "output.dense",
}
NORMS = {"attn_output_norm": "attention.output.LayerNorm", "layer_output_norm": "output.LayerNorm"}
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}


def read(path):
    """-> {name: array}; matrices are [in, out] and named as their layer is, without the end ".weight"."""
    graph = onnx.load(path).graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    # A matrix has lost its name in the file; the node that multiplies by it has kept the layer's.
    for n in graph.node:
        if n.op_type == "MatMul" and n.input[1] in held:
            held[n.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")] = held[n.input[1]]
    return held


def vocabulary(path, size):
    """-> tokens and their types as llama.cpp spells them: a word begins with U+2581, what goes on has lost its ##."""
    names = [None] * size
    with open(path) as f:
        for token, i in json.load(f)["model"]["vocab"].items():
            names[i] = token
    assert all(names[i] == token for token, i in SPECIAL.items())
    tokens, types = [], []
    for name in names:
        if name in SPECIAL:
            types.append(gguf.TokenType.CONTROL)
        elif name.startswith("[unused"):
            types.append(gguf.TokenType.UNUSED)
        else:
            types.append(gguf.TokenType.NORMAL)
            name = name[2:] if name.startswith("##") else "\u2581" + name
        tokens.append(name)
    return tokens, types


def main(source, tokenizer, out):
    held = read(source)
    words = held["embeddings.word_embeddings.weight"]
    w = gguf.GGUFWriter(out, "bert")
    w.add_name("bge-small-en-v1.5")
    w.add_license("mit")
    w.add_string("pith.query_instruction", "Represent this sentence for searching relevant passages: ")
    w.add_string("general.source.url", "BAAI/bge-small-en-v1.5")
    depth = 1 + max(int(name.split(".")[2]) for name in held if name.startswith(LAYER))
    w.add_context_length(len(held["embeddings.position_embeddings.weight"]))
    w.add_embedding_length(words.shape[1])
    w.add_feed_forward_length(len(held[LAYER + "0.intermediate.dense.bias"]))
    w.add_block_count(depth)
    w.add_head_count(12)
    w.add_layer_norm_eps(1e-12)
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.CLS)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    tokens, types = vocabulary(tokenizer, len(words))
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_type_count(2)
    w.add_bos_token_id(SPECIAL["[CLS]"])
    w.add_eos_token_id(SPECIAL["[SEP]"])
    w.add_unk_token_id(SPECIAL["[UNK]"])
    w.add_sep_token_id(SPECIAL["[SEP]"])
    w.add_pad_token_id(SPECIAL["[PAD]"])
    w.add_mask_token_id(SPECIAL["[MASK]"])

    def f32(name, x):
        w.add_tensor(name, np.ascontiguousarray(x, np.float32))

    def q8(name, x):
        kind = gguf.GGMLQuantizationType.Q8_0
        w.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(x, np.float32), kind), raw_dtype=kind)

    def norm(name, layer):
        f32(name + ".weight", held[layer + ".weight"])
        f32(name + ".bias", held[layer + ".bias"])

    q8("token_embd.weight", words)
    f32("position_embd.weight", held["embeddings.position_embeddings.weight"])
    f32("token_types.weight", held["embeddings.token_type_embeddings.weight"])
    norm("token_embd_norm", "embeddings.LayerNorm")
    for i in range(depth):
        for ours, theirs in MATRICES.items():
            q8(f"blk.{i}.{ours}.weight", held[f"{LAYER}{i}.{theirs}"].T)
            f32(f"blk.{i}.{ours}.bias", held[f"{LAYER}{i}.{theirs}.bias"])
        for ours, theirs in NORMS.items():
            norm(f"blk.{i}.{ours}", f"{LAYER}{i}.{theirs}")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
