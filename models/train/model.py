"""The demo model: a Llama of about five million parameters, with Hugging Face's names of tensors."""
import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "vocab_size": 2048, "hidden_size": 256,
    "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "hidden_act": "silu", "tie_word_embeddings": False,
    "attention_bias": False, "mlp_bias": False, "bos_token_id": 0, "eos_token_id": 1,
}
D, F_, L, H, G, E = (CONFIG[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"))


def rope_tables(length):
    inverse = CONFIG["rope_theta"] ** (-torch.arange(0, E, 2, dtype=torch.float64) / E)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), inverse)
    return torch.cat([angle, angle], 1).cos().float(), torch.cat([angle, angle], 1).sin().float()


def rotate(x, cos, sin):  # x [B,heads,T,E]
    half = E // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cos + turned * sin


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(D, H * E, bias=False), nn.Linear(D, G * E, bias=False)
        self.v_proj, self.o_proj = nn.Linear(D, G * E, bias=False), nn.Linear(H * E, D, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = rotate(self.q_proj(x).view(b, t, H, E).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(b, t, G, E).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(b, t, G, E).transpose(1, 2)
        k, v = k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1)
        return self.o_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, H * E))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(D, F_, bias=False), nn.Linear(D, F_, bias=False)
        self.down_proj = nn.Linear(F_, D, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(D, CONFIG["rms_norm_eps"])
        self.post_attention_layernorm = nn.RMSNorm(D, CONFIG["rms_norm_eps"])
        self.self_attn, self.mlp = Attention(), Mlp()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Demo(nn.Module):
    """forward(ids [B,T]) gives the last hidden states [B,T,D]; `logits` of those rows that need them."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], D)
        self.layers = nn.ModuleList(Layer() for _ in range(L))
        self.norm = nn.RMSNorm(D, CONFIG["rms_norm_eps"])
        self.lm_head = nn.Linear(D, CONFIG["vocab_size"], bias=False)
        cos, sin = rope_tables(CONFIG["max_position_embeddings"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = (2 * L) ** -0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(p, std=1.0 if "embed" in name else 0.02 if "lm_head" in name else scale * p.shape[1] ** -0.5)

    def forward(self, ids):
        x = self.embed_tokens(ids)
        if x.device.type == "cpu":
            x = x.to(torch.bfloat16)
        cos, sin = self.cos[:ids.shape[1]].to(x.dtype), self.sin[:ids.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def logits(self, rows):
        return self.lm_head(rows)
