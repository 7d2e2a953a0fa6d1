#!/usr/bin/env python3
"""Loads an exported folder with transformers, as a user would, and compares with an independent decoding of its files.

    check_export.py --export DIR                          weights and logits against a plain model of the decoded weights
    check_export.py --export DIR --logits FILE            and logits against those of another program: a safetensors file
                                                          with `tokens` I64 [T] and `logits` F32 [T, vocab]

Needs torch, transformers, safetensors; compressed-tensors >= 0.18 or, for GPTQ folders, optimum and gptqmodel. Exit code
1 if a weight differs in a bit or logits differ by more than --tolerance of their largest value.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file


def stream(words, bits, count):
    """Numbers of `bits` bits along the last axis of 32-bit words, bit 0 first: [..., w] -> [..., count]."""
    bytes_ = np.ascontiguousarray(words.numpy()).view(np.uint8)
    as_bits = np.unpackbits(bytes_, axis=-1, bitorder="little")[..., : count * bits]
    as_bits = as_bits.reshape(*as_bits.shape[:-1], count, bits)
    return torch.from_numpy((as_bits * (1 << np.arange(bits))).sum(-1).astype(np.float32))


def decode_compressed_tensors(t, name, quantization):
    weights = quantization["config_groups"]["group_0"]["weights"]
    bits, (rows, cols) = weights["num_bits"], t[name + ".weight_shape"].tolist()
    scale = t[name + ".weight_scale"].float()
    codes = stream(t[name + ".weight_packed"], bits, cols)
    zero = torch.full_like(scale, 2 ** (bits - 1))
    if not weights["symmetric"]:
        zero = stream(t[name + ".weight_zero_point"].T, bits, rows).T
    group = cols // scale.shape[1]
    return scale.repeat_interleave(group, 1) * (codes - zero.repeat_interleave(group, 1))


def decode_gptq(t, name, quantization):
    bits, group = quantization["bits"], t[name + ".g_idx"].long()
    scale = t[name + ".scales"].float().T
    rows, cols = scale.shape[0], len(group)
    codes = stream(t[name + ".qweight"].T, bits, cols)
    zero = stream(t[name + ".qzeros"], bits, rows).T + 1
    return scale[:, group] * (codes - zero[:, group])


FORMATS = {  # quant_method: (marks a quantized layer, decoder)
    "compressed-tensors": (".weight_packed", decode_compressed_tensors),
    "gptq": (".qweight", decode_gptq),
}


def read_folder(folder):
    """The tensors of the folder, and its config split into the plain part and quantization_config."""
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    config = json.loads((folder / "config.json").read_text())
    return tensors, config, config.pop("quantization_config")


def reference_model(folder):
    """A plain f32 model of the exact weights, and the weights of the quantized layers by name."""
    tensors, config, quantization = read_folder(folder)
    mark, decode = FORMATS[quantization["quant_method"]]
    names = [n.removesuffix(mark) for n in tensors if n.endswith(mark)]
    layers = {n: decode(tensors, n, quantization) for n in names}
    state = {n: t.float() for n, t in tensors.items() if n.rpartition(".")[0] not in layers or n.endswith(".bias")}
    state.update({n + ".weight": w for n, w in layers.items()})
    model_config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    model = transformers.AutoModelForCausalLM.from_config(model_config, dtype=torch.float32).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    tied = {"lm_head.weight"} if config.get("tie_word_embeddings") else set()
    assert set(missing) <= tied and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model, layers


def reader_weight(module):
    """[out, in] as the foreign reader computes it."""
    if hasattr(module, "dequantize_weight"):  # GPTQ kernels
        return module.dequantize_weight().T.detach()
    return module.weight.detach()  # compressed-tensors, after the first forward pass


def logits_of(model, tokens):
    with torch.no_grad():
        return model(tokens[None])[0][0].float()


def compare(what, ours, theirs, tolerance):
    difference = ((ours - theirs).abs().max() / ours.abs().max()).item()
    ok = difference <= tolerance  # false for NaN
    print(f"{what}: largest difference {difference:.2e} of the largest logit{'' if ok else '  FAILED'}")
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=pathlib.Path, required=True, metavar="DIR")
    parser.add_argument("--logits", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()

    reference, layers = reference_model(args.export)
    tokens = torch.arange(32) * 37 % reference.config.vocab_size
    expected = logits_of(reference, tokens)
    options, quantization = {}, read_folder(args.export)[2]
    if quantization["quant_method"] == "gptq":  # the kernel that keeps the weights as they are in the file
        options["quantization_config"] = transformers.GPTQConfig(bits=quantization["bits"], backend="gptq_torch")
    good = True
    for dtype in (torch.float32, "auto"):
        reader = transformers.AutoModelForCausalLM.from_pretrained(args.export, dtype=dtype, device_map="cpu", **options)
        actual = logits_of(reader.eval(), tokens)
        modules = dict(reader.named_modules())
        weights = {n: reader_weight(modules[n]) for n in layers}
        exact = [n for n in layers if torch.equal(weights[n].float(), layers[n])]
        half = [n for n in layers if torch.equal(weights[n].float(), layers[n].half().float())]
        wrong = sorted(set(layers) - set(exact) - set(half))
        print(f"dtype={dtype}: of {len(layers)} layers {len(exact)} are exact, {len(half)} rounded to float16,",
              f"{len(wrong)} wrong", *wrong[:3])
        good &= not wrong
        # Weights that the reader rounds to 16 bits cost some of the agreement, its sums in 16 bits more.
        factor = 30 if dtype != torch.float32 else 1 if len(exact) == len(layers) else 10
        tolerance = args.tolerance * factor
        good &= compare(f"dtype={dtype}: logits", expected, actual, tolerance)
        if args.logits:
            file = load_file(args.logits)
            actual = logits_of(reader, file["tokens"])
            good &= compare(f"dtype={dtype}: logits of {args.logits.name}", file["logits"], actual, tolerance)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
