"""Every component by itself, and random compositions of them."""
import random

from . import component_ends, component_models, component_steps
from .parts import byte_level, decoders, norm, pre, processors, tokenizer


def all_cases():
    yield from component_models.all_cases()
    yield from component_steps.all_cases()
    yield from component_ends.all_cases()


# Refused by design, each shown so by its own case; a pipeline that meets one of them compares nothing.
DEGENERATE = ("template-twice", "template-no-text", "template-odd-ids", "template-empty", "sequence-three", "Split-empty-regex", "Replace-''", "CTC-odd-1", "Sequence-fuse-regex", "Sequence-fuse-then-bytes", "fuse-regex", "fuse-then-bytes")


def sane(cases):
    return [c for c in cases if c[0] not in DEGENERATE]


def some(rng, items, most, sequence):
    chosen = [rng.choice(items)[1] for _ in range(rng.randrange(most + 1))]
    return sequence(*chosen) if chosen else None


def compositions(seed, n):
    """Pipelines of random components over random models."""
    rng = random.Random(f"compositions {seed}")
    normalizers = list(component_steps.normalizer_list())
    pretokenizers = sane((*component_steps.pretokenizer_list(), *component_steps.pretokenizer_sequences()))
    posts = sane(component_ends.post_list(base=100))
    ends = [d for d in sane((*component_ends.decoder_list(), *component_ends.decoder_sequences())) if d[1]]
    models = component_models.by_model()
    for i in range(n):
        name, model = rng.choice(models)
        over_bytes = name in ("reveal", "bytes", "suffix")
        steps = [rng.choice(pretokenizers)[1] for _ in range(rng.randrange(3))] + ([byte_level()] if over_bytes else [])
        decoder = byte_level() if over_bytes and rng.random() < 0.4 else some(rng, ends, 2, decoders)
        tokens = rng.choice((component_ends.every_flag(), component_ends.overlapping(), []))
        tree = tokenizer(model, some(rng, normalizers, 3, norm), pre(*steps) if steps else None, some(rng, posts, 1, processors), decoder, tokens)
        yield f"composed/{seed}-{i}-{name}", tree
