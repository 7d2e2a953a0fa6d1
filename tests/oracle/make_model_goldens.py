#!/usr/bin/env python3
"""Tiny random models of every family with the logits transformers computes for them in f32.

Writes tests/golden/models/<name>/ (config.json, safetensors, logits.safetensors) and two GGUF twins. Everything follows
from fixed seeds; run it again only to add a case:  python tests/oracle/make_model_goldens.py
Needs torch, transformers >= 5, safetensors, gguf. The committed files were made with torch 2.15 and transformers 5.24.
"""

import json
import pathlib
import shutil

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "models"
LENGTHS = (23, 40)  # tokens of the two sequences; both longer than the sliding window and the llama3 context below
SMALL = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=128, max_position_embeddings=256, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=None,
    tie_word_embeddings=False,
)


def rope(kind, theta, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
# name: (family, config, how it is stored)
CASES = {
    "llama": ("Llama", {}, dict(legacy=True)),
    "llama3-rope": ("Llama", rope("llama3", 500.0, **LLAMA3), dict(shards=3)),
    "llama-linear-rope": ("Llama", rope("linear", 10000.0, factor=4.0), dict(legacy=True)),
    "llama-bias": ("Llama", dict(attention_bias=True, mlp_bias=True, num_key_value_heads=4), {}),
    "smollm-tied": ("Llama", dict(tie_word_embeddings=True, hidden_size=48, num_attention_heads=3, num_key_value_heads=1,
                                  **rope("default", 100000.0)), dict(dtype=torch.bfloat16)),
    "mistral-window": ("Mistral", dict(sliding_window=7, head_dim=8), dict(dtype=torch.float16)),
    "qwen2": ("Qwen2", dict(rope_theta=1000000.0), {}),
    "qwen2-window": ("Qwen2", dict(use_sliding_window=True, sliding_window=11, max_window_layers=0), {}),
    "qwen3": ("Qwen3", dict(head_dim=16, tie_word_embeddings=True), {}),
}


def build(family, options, seed):
    """A model whose every parameter is random: norm weights around 1, biases around 0."""
    torch.manual_seed(seed)
    config = getattr(transformers, family + "Config")(**{**SMALL, **options})
    model = getattr(transformers, family + "ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.ndim == 1 else 1.3 / p.shape[1] ** 0.5
            p.copy_(torch.randn(p.shape) * scale + (1.0 if "norm" in name else 0.0))
    return model


def make_legacy(config):
    """The spelling of transformers 4: rope_theta and rope_scaling instead of rope_parameters."""
    r = config.pop("rope_parameters")
    config["rope_theta"] = r.pop("rope_theta")
    config["rope_scaling"] = None if r["rope_type"] == "default" else r
    config["torch_dtype"] = config.pop("dtype")


def save_shards(folder, count):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for s in range(count):
        file = f"model-{s + 1:05d}-of-{count:05d}.safetensors"
        part = {n: tensors[n] for n in names[s::count]}
        save_file(part, folder / file, metadata={"format": "pt"})
        index["weight_map"].update({n: file for n in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "model.safetensors").unlink()


def logits_of(model, seed):
    rng = np.random.default_rng(seed)
    out = {}
    for i, length in enumerate(LENGTHS):
        tokens = torch.from_numpy(rng.integers(0, model.config.vocab_size, (1, length)))
        with torch.no_grad():
            out[f"tokens.{i}"] = tokens[0].to(torch.int32)
            out[f"logits.{i}"] = model(tokens).logits[0].float().contiguous()
    return out


def make(name, seed):
    family, options, stored = CASES[name]
    folder = GOLDEN / name
    shutil.rmtree(folder, ignore_errors=True)
    dtype = stored.get("dtype", torch.float32)
    model = build(family, options, seed).to(dtype)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    if stored.get("legacy"):
        make_legacy(config)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    if "shards" in stored:
        save_shards(folder, stored["shards"])
    # eager attention in f32, on the weights as they were stored
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    save_file(logits_of(model.eval(), seed), folder / "logits.safetensors")
    return model


def permuted(w, heads):
    """Row order of q and k in GGUF files of architecture llama: the two halves of a head interleaved."""
    return w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def gguf_name(name):
    fixed = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
    module, kind = name.rsplit(".", 1)
    if module in fixed:
        return f"{fixed[module]}.{kind}"
    _, _, layer, rest = module.split(".", 3)
    return f"blk.{layer}.{parts[rest]}.{kind}"


def write_gguf(path, model, arch):
    c = model.config
    w = gguf.GGUFWriter(path, arch)
    w.add_name(path.stem)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if head_dim * c.num_attention_heads != c.hidden_size:
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    w.add_rope_dimension_count(head_dim)
    w.add_vocab_size(c.vocab_size)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(["<unk>", "<s>", "</s>"] + [f"t{i}" for i in range(3, c.vocab_size)])
    w.add_token_types([3, 3, 3] + [1] * (c.vocab_size - 3))
    w.add_token_merges([])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    if c.rope_parameters["rope_type"] == "llama3":
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](c, "cpu")
        plain = 1.0 / c.rope_parameters["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
        w.add_tensor("rope_freqs.weight", (plain / scaled).numpy())
    for name, p in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        value = p.float().numpy()
        if arch == "llama" and ("q_proj" in name or "k_proj" in name):
            value = permuted(value, c.num_attention_heads if "q_proj" in name else c.num_key_value_heads)
        w.add_tensor(gguf_name(name), np.ascontiguousarray(value))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    models = {name: make(name, 100 + i) for i, name in enumerate(CASES)}
    write_gguf(GOLDEN / "llama-bias.gguf", models["llama-bias"], "llama")  # the logits are those of the folder
    write_gguf(GOLDEN / "llama.gguf", models["llama"], "llama")
    write_gguf(GOLDEN / "qwen2.gguf", models["qwen2"], "qwen2")
    write_gguf(GOLDEN / "qwen3.gguf", models["qwen3"], "qwen3")
    # The published Llama 3 models: rope_freqs from 8192 tokens of context, head dimension 64.
    options = dict(num_hidden_layers=1, max_position_embeddings=16384, num_attention_heads=1, num_key_value_heads=1, head_dim=64,
                   **rope("llama3", 500000.0, **{**LLAMA3, "original_max_position_embeddings": 8192}))
    CASES["llama3-freqs"] = ("Llama", options, dict(dtype=torch.float16))
    write_gguf(GOLDEN / "llama3-freqs.gguf", make("llama3-freqs", 200), "llama")
    for folder in sorted(GOLDEN.iterdir()):
        size = sum(f.stat().st_size for f in folder.iterdir()) if folder.is_dir() else folder.stat().st_size
        print(f"{size:8d}  {folder.name}")


if __name__ == "__main__":
    main()
