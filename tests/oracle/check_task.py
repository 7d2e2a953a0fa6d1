#!/usr/bin/env python3
"""Answers to questions with choices against transformers, with lm-evaluation-harness' rule written out.

    .venv/bin/python tests/oracle/check_task.py --ours MODEL --theirs MODEL.gguf|FOLDER --tokenizer TOKENIZER.json --task FILE.jsonl

The rule (multiple_choice of the harness): a space joins query and choice; the tokens of the whole behind as many as the
query has, stripped on the right, are asked for; acc takes the largest sum of their log-probabilities, acc_norm the
largest sum over the characters of the choice.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "build/release/apps/cli/nearplane"


def load(path):
    import torch
    import transformers
    path = pathlib.Path(path)
    if path.suffix == ".gguf":
        parent, file = os.path.split(path.resolve())
        return transformers.AutoModelForCausalLM.from_pretrained(parent, gguf_file=file, dtype=torch.float32)
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--ours", "--theirs", "--tokenizer", "--task"):
        parser.add_argument(name, required=True)
    args = parser.parse_args()
    import torch
    from tokenizers import Tokenizer
    tokenizer, model = Tokenizer.from_file(args.tokenizer), load(args.theirs).eval()
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    right = right_norm = count = 0
    with open(args.task, encoding="utf-8") as lines, torch.no_grad():
        for question in map(json.loads, lines):
            sums = []
            for choice in question["choices"]:
                whole, context = encode(question["query"] + " " + choice), encode(question["query"].rstrip())
                logits = model(torch.tensor([whole[:-1]])).logits[0].double().log_softmax(-1)
                sums.append(sum(float(logits[t - 1, whole[t]]) for t in range(len(context), len(whole))))
            norms = [s / len(c) for s, c in zip(sums, question["choices"])]
            right += sums.index(max(sums)) == question["gold"]
            right_norm += norms.index(max(norms)) == question["gold"]
            count += 1
    ours = json.loads(subprocess.run([PROGRAM, "eval", args.ours, "--task", args.task, "--json", "-q"], check=True,
                                     stdout=subprocess.PIPE).stdout)
    print(f"acc: nearplane {ours['acc']:.4f}, transformers {right / count:.4f}; "
          f"acc_norm: {ours['acc_norm']:.4f}, {right_norm / count:.4f}; {count} questions")
    if ours["questions"] != count or abs(ours["acc"] - right / count) > 1e-9 or \
            abs(ours["acc_norm"] - right_norm / count) > 1e-9:
        sys.exit("they differ")


if __name__ == "__main__":
    main()
