#!/usr/bin/env python3
"""Perplexity of the unquantized demo model: ours against transformers' on the same tokens, within 0.1 %.

    check_perplexity.py MODEL.gguf TOKENIZER.json NEARPLANE TEXT [--length 512] [--windows 8]

transformers dequantizes the GGUF file itself; the tokens come from Hugging Face's tokenizer.
"""
import argparse
import json
import math
import subprocess

import torch
import transformers
from tokenizers import Tokenizer


def reference(model_path, tokens, length, windows):
    folder, file = str(model_path).rsplit("/", 1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    total = 0.0
    with torch.no_grad():
        for w in range(windows):
            ids = torch.tensor([tokens[w * length:(w + 1) * length]])
            logits = model(ids).logits[0, :-1].double()
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    return math.exp(total / (windows * (length - 1)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("tokenizer")
    parser.add_argument("nearplane")
    parser.add_argument("text")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=8)
    args = parser.parse_args()
    text = open(args.text, encoding="utf-8", newline="").read()
    tokens = Tokenizer.from_file(args.tokenizer).encode(text, add_special_tokens=False).ids
    theirs = reference(args.model, tokens, args.length, args.windows)
    ours = json.loads(subprocess.run(
        [args.nearplane, "eval", args.model, "--text", args.text, "--length", str(args.length), "--windows",
         str(args.windows), "--json", "-q"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    if ours["text_tokens"] != len(tokens):
        raise SystemExit(f"{ours['text_tokens']} tokens, the Hugging Face tokenizer makes {len(tokens)}")
    difference = abs(ours["perplexity"] / theirs - 1)
    print(f"perplexity {ours['perplexity']:.5f}, transformers {theirs:.5f}: {100 * difference:.4f} % apart")
    if difference > 1e-3:
        raise SystemExit("more than 0.1 % apart")


if __name__ == "__main__":
    main()
