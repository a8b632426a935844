#!/usr/bin/env python3
"""Makes tests/golden/models: tiny models of every supported family with random weights, and the
logits that Hugging Face transformers computes from them on the CPU.

    python3 -m venv /tmp/golden-venv
    /tmp/golden-venv/bin/pip install torch transformers
    /tmp/golden-venv/bin/python tests/golden/make_golden.py

Each folder holds a model as save_pretrained wrote it (some with config.json rewritten in the older
spelling that most published checkpoints have), logits.f32 (float32, little-endian, [positions,
vocabulary]) and expected.json (the prompt and how the reference was made).  The logits are computed
from the folder, loaded again, in float32 with eager attention over the whole prompt, so that they
belong to the very files that inferd reads.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM)

OUT = Path(__file__).resolve().parent / "models"
VOCAB = 96
PROMPT_LEN = 48
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
BASE = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            rms_norm_eps=1e-5, initializer_range=0.3, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=False)


def rope(kind="default", theta=10000.0, **extra):
    return dict(rope_type=kind, rope_theta=theta, **extra)


# name -> family, how it is stored, and what differs from BASE
MODELS = {
    "llama_gqa": dict(family="llama", rope_parameters=rope()),
    "llama_mqa": dict(family="llama", rope_parameters=rope(), num_key_value_heads=1),
    "llama_mha_bf16": dict(family="llama", rope_parameters=rope(), num_key_value_heads=4,
                           store=torch.bfloat16, old=True),
    "llama_f16": dict(family="llama", rope_parameters=rope(theta=500000.0), store=torch.float16),
    "llama_biases": dict(family="llama", rope_parameters=rope(), attention_bias=True,
                         mlp_bias=True),
    "llama_tied_sharded": dict(family="llama", rope_parameters=rope(), tie_word_embeddings=True,
                               shard="24KB", old=True),
    "llama_rope_llama3": dict(family="llama", num_hidden_layers=3, old=True,
                              rope_parameters=rope("llama3", 500000.0, factor=8.0,
                                                   low_freq_factor=1.0, high_freq_factor=4.0,
                                                   original_max_position_embeddings=32),
                              head_dim=16),
    "llama_rope_linear": dict(family="llama", rope_parameters=rope("linear", factor=4.0), old=True),
    # The prompt is longer than the context that scaling starts at.
    "llama_rope_dynamic": dict(family="llama", max_position_embeddings=32,
                               rope_parameters=rope("dynamic", factor=2.0)),
    "llama_rope_yarn": dict(family="llama", head_dim=16,
                            rope_parameters=rope("yarn", factor=4.0, beta_fast=4.0, beta_slow=0.5,
                                                 original_max_position_embeddings=64)),
    "mistral_window": dict(family="mistral", rope_parameters=rope(), sliding_window=9,
                           head_dim=16, old=True),
    "qwen2_bias": dict(family="qwen2", rope_parameters=rope(theta=1000000.0), old=True,
                       tie_word_embeddings=True),
    "qwen2_window": dict(family="qwen2", rope_parameters=rope(theta=1000000.0),
                         num_hidden_layers=3, use_sliding_window=True, sliding_window=7,
                         max_window_layers=1),
    "qwen2_yarn": dict(family="qwen2", old=True,
                       rope_parameters=rope("yarn", 1000000.0, factor=4.0,
                                            original_max_position_embeddings=32)),
    "qwen3_qk_norm": dict(family="qwen3", rope_parameters=rope(theta=1000000.0), head_dim=24,
                          store=torch.bfloat16),
}


def randomise(model, generator):
    """Gains away from one and biases away from zero, so that leaving one out shows."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("norm.weight"):
                p.copy_(0.5 + torch.rand(p.shape, generator=generator))
            elif name.endswith(".bias"):
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))
            else:
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))


def rewrite_old(path):
    """The spelling of transformers 4: rope_theta beside rope_scaling, torch_dtype."""
    config = json.loads(path.read_text())
    params = config.pop("rope_parameters")
    config["rope_theta"] = params.pop("rope_theta")
    config["rope_scaling"] = None
    if params["rope_type"] != "default":
        if params["rope_type"] == "yarn":
            params["type"] = params.pop("rope_type")
        config["rope_scaling"] = params
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def make(name, spec, seed):
    spec = dict(spec)
    family, store = spec.pop("family"), spec.pop("store", torch.float32)
    shard, old = spec.pop("shard", "1GB"), spec.pop("old", False)
    config_class, model_class = FAMILIES[family]
    generator = torch.Generator().manual_seed(seed)
    model = model_class(config_class(**{**BASE, **spec}))
    randomise(model, generator)
    folder = OUT / name
    model.to(store).save_pretrained(folder, max_shard_size=shard)
    if old:
        rewrite_old(folder / "config.json")

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    prompt = torch.randint(3, VOCAB, (1, PROMPT_LEN), generator=generator)
    with torch.no_grad():
        logits = model(prompt).logits[0]
    assert logits.dtype == torch.float32 and logits.shape == (PROMPT_LEN, VOCAB)
    (folder / "logits.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
    expected = {"prompt": prompt[0].tolist(), "vocab": VOCAB,
                "made_by": f"transformers {transformers.__version__}, "
                           f"torch {torch.__version__.split('+')[0]}, float32, eager attention"}
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"{name:22s} logits {logits.std():.3f} +- , max {logits.abs().max():.2f}, "
          f"{sum(f.stat().st_size for f in folder.iterdir()) // 1024} KiB")


def main():
    names = sys.argv[1:] or list(MODELS)
    for name in names:
        shutil.rmtree(OUT / name, ignore_errors=True)
        make(name, MODELS[name], seed=1000 + list(MODELS).index(name))


if __name__ == "__main__":
    main()
