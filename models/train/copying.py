"""What the model starts with beside random weights: heads that find an earlier occurrence of the last tokens and copy what followed.

Such a pair of heads (Olsson et al. 2022, "In-context Learning and Induction Heads") forms by itself in longer runs; in the 49 million
tokens of this one it never did, and a name that could not be guessed was never copied.  So the first two layers start as one:

layer 0, key/value head 0: query head 0 attends to the token before, query head 1 to the one before that; each writes a short code of
what it finds into dimensions of its own.
layer 1, key/value head 0: query heads 0 and 1 look for positions whose codes are those of the present and the previous token, and write
the code of the token there into the dimensions that the output layer reads.

All of it is trained on like every other weight.
"""
import math

import torch

from model import CONFIG, D, E

CODE = 128  # dimensions 1..127 hold the token, dimension 0 the same number for all
ONE, TWO, OUT = slice(128, 160), slice(160, 192), slice(192, 256)  # codes of the last tokens; what the output layer reads
CONSTANT = 4.0
NEAR, FAR = 16, 14  # pairs of dimensions that turn fast (the first NEAR) and slowly (those from FAR on)
SHARP = 9.0  # logit of an exact match above an unrelated position


def orthonormal(rows, columns, generator):
    return torch.linalg.qr(torch.randn(columns, rows, generator=generator, dtype=torch.float64))[0].T


@torch.no_grad()
def plant(model, seed=5):
    g = torch.Generator().manual_seed(seed)
    embed, head = model.embed_tokens.weight, model.lm_head.weight
    embed[:, CODE:] = 0
    embed[:, 0] = CONSTANT
    rms = math.sqrt((CONSTANT ** 2 + CODE - 1) / D)  # of an embedding: what the norm divides by
    short = torch.zeros(E, D, dtype=torch.float64)
    short[:, 1:CODE] = orthonormal(E, CODE - 1, g)

    first = model.layers[0].self_attn
    angle = CONFIG["rope_theta"] ** (-torch.arange(0, E, 2, dtype=torch.float64) / E)
    size = 7.0 * rms / CONSTANT
    first.k_proj.weight[:E] = 0
    first.k_proj.weight[:NEAR, 0] = size
    for h in (0, 1):
        q = first.q_proj.weight[h * E:(h + 1) * E]
        q.zero_()
        q[:NEAR, 0] = size * torch.cos((h + 1) * angle[:NEAR])
        q[E // 2:E // 2 + NEAR, 0] = -size * torch.sin((h + 1) * angle[:NEAR])
        o = first.o_proj.weight[:, h * E:(h + 1) * E]
        o.zero_()
        o[(ONE, TWO)[h], :32] = torch.eye(32)
    first.v_proj.weight[:E] = short * rms

    # After the first layer the residual's size is about that of the embedding.
    second = model.layers[1].self_attn
    dims = [f for f in range(FAR, E // 2)] + [f + E // 2 for f in range(FAR, E // 2)]
    a, b = (orthonormal(32, len(dims), g).T for _ in "ab")
    for h in (0, 1):
        weight = (0.35, 0.9)[h]  # of the token before the last
        gain = SHARP * math.sqrt(E) / (32 * (1 + weight))
        q = second.q_proj.weight[h * E:(h + 1) * E]
        q.zero_()
        q[dims] = (gain * rms * rms * (a @ short[:32])).float()
        q[dims, ONE] += (gain * rms * rms * weight * b).float()
        o = second.o_proj.weight[:, h * E:(h + 1) * E]
        o.zero_()
        o[OUT, :] = torch.eye(E) * 0.7
    k = second.k_proj.weight[:E]
    k.zero_()
    k[dims, ONE] = a.float()
    k[dims, TWO] = b.float()
    second.v_proj.weight[:E] = short * rms
    head.mul_(0.5)
    head[:, OUT] = (0.08 * embed.double() @ short.T).float()
