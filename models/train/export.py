"""Writes the model directory: bf16 safetensors, config.json, generation_config.json."""
import json
import pathlib

import torch
from safetensors.torch import save_file

from model import CONFIG


def export(model, out):
    out = pathlib.Path(out)
    named = lambda n: n if n.startswith("lm_head") else "model." + n
    tensors = {named(n): p.detach().to("cpu", torch.bfloat16).contiguous() for n, p in model.named_parameters()}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # safetensors makes it the writer's alone
    (out / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    generation = {"bos_token_id": CONFIG["bos_token_id"], "eos_token_id": CONFIG["eos_token_id"], "temperature": 0.3, "top_p": 0.95}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
