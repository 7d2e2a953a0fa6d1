#!/usr/bin/env python3
"""Perplexity of a model as nearplane computes it against transformers' on the same tokens, within 0.1 %.

    check_perplexity.py --ours MODEL|STORE --theirs FOLDER|MODEL.gguf --tokenizer tokenizer.json --text FILE
                        [--nearplane PROGRAM] [--length 512] [--windows 4]

`theirs` is the same model for transformers: a GGUF file, which it dequantizes itself, or an exported folder. The tokens
are those of Hugging Face's tokenizer, and nearplane must count as many.
"""
import argparse
import json
import math
import pathlib
import subprocess

import torch
import transformers
from tokenizers import Tokenizer


def load(path):
    path = pathlib.Path(path)
    where, more = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (path, {})
    return transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **more).eval()


def perplexity(model, tokens, length, windows):
    total = 0.0
    with torch.no_grad():
        for w in range(windows):
            ids = torch.tensor([tokens[w * length:(w + 1) * length]])
            logits = model(ids).logits[0, :-1].double()
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    return math.exp(total / (windows * (length - 1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--ours", "--theirs", "--tokenizer", "--text"):
        parser.add_argument(name, required=True)
    parser.add_argument("--nearplane", default="build/release/apps/cli/nearplane")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=4)
    args = parser.parse_args()
    text = open(args.text, encoding="utf-8", newline="").read()
    tokens = Tokenizer.from_file(args.tokenizer).encode(text, add_special_tokens=False).ids
    theirs = perplexity(load(args.theirs), tokens, args.length, args.windows)
    ours = json.loads(subprocess.run(
        [args.nearplane, "eval", args.ours, "--text", args.text, "--length", str(args.length), "--windows",
         str(args.windows), "--json", "-q"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    if ours["text_tokens"] != len(tokens):
        raise SystemExit(f"{ours['text_tokens']} tokens, the Hugging Face tokenizer makes {len(tokens)}")
    difference = abs(ours["perplexity"] / theirs - 1)
    print(f"{len(tokens)} tokens alike; perplexity {ours['perplexity']:.5f}, transformers {theirs:.5f}: "
          f"{100 * difference:.4f} % apart")
    if difference > 1e-3:
        raise SystemExit("more than 0.1 % apart")


if __name__ == "__main__":
    main()
