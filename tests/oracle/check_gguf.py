#!/usr/bin/env python3
"""A GGUF export in llama.cpp against its store in nearplane: the same tokens, and perplexity within what 8-bit activations cost.

    VENV/bin/python tests/oracle/check_gguf.py --store STORE --export FILE.gguf --text TEXT [--windows 2]

Not part of tests/oracle/run: llama-cpp-python (pip install llama-cpp-python gguf) has no wheel and builds for minutes.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "build/release/apps/cli/nearplane"


def perplexity_of_llama(path, text, windows, length):
    import llama_cpp
    model = llama_cpp.Llama(str(path), n_ctx=length, n_batch=length, logits_all=True, verbose=False)
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    total, count = 0.0, 0
    for w in range(windows):
        window = ids[w * length:(w + 1) * length]
        model.reset()
        model.eval(window)
        logits = np.array(model.scores[:length - 1], dtype=np.float64)
        top = logits.max(axis=1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        total += (log_sum - logits[np.arange(length - 1), window[1:]]).sum()
        count += length - 1
    return float(np.exp(total / count)), len(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--export", required=True)
    parser.add_argument("--text", required=True, type=pathlib.Path)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--tolerance", type=float, default=0.01)
    args = parser.parse_args()
    text = args.text.read_bytes().decode()
    theirs, tokens = perplexity_of_llama(args.export, text, args.windows, args.length)
    ours = json.loads(subprocess.run(
        [PROGRAM, "eval", args.store, "--text", args.text, "--length", str(args.length), "--windows", str(args.windows),
         "--json"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    apart = abs(theirs / ours["perplexity"] - 1)
    print(f"perplexity: nearplane {ours['perplexity']:.5f}, llama.cpp {theirs:.5f}, {100 * apart:.4f} % apart; "
          f"tokens: {ours['text_tokens']}, {tokens}")
    if apart > args.tolerance or ours["text_tokens"] != tokens:
        sys.exit("they differ")


if __name__ == "__main__":
    main()
