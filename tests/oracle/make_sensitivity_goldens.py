#!/usr/bin/env python3
"""Output sensitivity of the tiny models by torch autograd: the mean over tokens of g_i^2, g the gradient of the sum of
log p(label) at the output of each linear layer.

Writes tests/golden/sensitivity/<model>.safetensors: labels.0 and labels.1 for the texts in the model's
logits.safetensors (labels.i[t] is predicted at position t), and one f32 vector per linear layer. Run after
make_model_goldens.py:  python tests/oracle/make_sensitivity_goldens.py
Needs torch, transformers >= 5, safetensors. The committed files were made with torch 2.15 and transformers 5.24.
"""

import pathlib

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"


def squared_gradients(model, tokens, labels):
    """Sum over tokens of the squared gradients at the output of every linear layer of the blocks, f64."""
    outputs = {}

    def keep(name):
        def hook(module, inputs, output):
            output.retain_grad()
            outputs[name] = output
        return hook

    hooks = [m.register_forward_hook(keep(n)) for n, m in model.named_modules()
             if isinstance(m, torch.nn.Linear) and n.startswith("model.layers.")]
    log_p = torch.log_softmax(model(tokens[None].long()).logits[0], dim=-1)
    log_p.gather(1, labels[:, None].long()).sum().backward()
    for h in hooks:
        h.remove()
    return {name: y.grad[0].double().square().sum(0) for name, y in outputs.items()}


def make(folder, seed):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    texts = load_file(folder / "logits.safetensors")
    rng = np.random.default_rng(seed)
    out, totals, count = {}, {}, 0
    for i in range(2):
        tokens = texts[f"tokens.{i}"]
        labels = torch.from_numpy(rng.integers(0, model.config.vocab_size, len(tokens))).to(torch.int32)
        out[f"labels.{i}"] = labels
        count += len(tokens)
        for name, squares in squared_gradients(model.eval(), tokens, labels).items():
            totals[name] = totals.get(name, 0) + squares
    out.update({name: (total / count).float().contiguous() for name, total in totals.items()})
    path = GOLDEN / "sensitivity" / f"{folder.name}.safetensors"
    save_file(out, path)
    print(f"{path.stat().st_size:8d}  {folder.name}")


def main():
    (GOLDEN / "sensitivity").mkdir(exist_ok=True)
    folders = sorted(p for p in (GOLDEN / "models").iterdir() if p.is_dir())
    for i, folder in enumerate(folders):
        make(folder, 300 + i)


if __name__ == "__main__":
    main()
