"""Conversations as token ids: the chat template as segments, packed into sequences of one length."""
import json
import random

import numpy
from jinja2.sandbox import ImmutableSandboxedEnvironment

from corpus import mix

BOS, EOS = "<|bos|>", "<|end|>"
SPECIAL = [BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
PLAIN_ADDED = ["<tool_call>", "</tool_call>"]  # tokens of their own that are shown as text
VOCAB = 2048
PAD = 0  # BOS: never a target


def call_text(call):
    return '<tool_call>{"name": "' + call["name"] + '", "arguments": ' + json.dumps(call["arguments"]) + "}</tool_call>"


def segments(messages, tools):
    """[(text, is answered)]: joined they are what chat_template.jinja renders (`check_template` compares)."""
    if isinstance(messages, str):
        return [(BOS, False), (messages + EOS, True)]
    out = [(BOS, False)]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    if system or tools:
        lines = ([system] if system else []) + (["Tools:"] if tools else []) + [json.dumps(t) for t in tools or []]
        out.append(("<|system|>" + "\n".join(lines) + EOS, False))
    for m in messages:
        if m["role"] == "assistant":
            out.append(("<|assistant|>", False))
            calls = "".join(call_text(c["function"]) for c in m.get("tool_calls", []))
            out.append((m["content"] + calls + EOS, True))
        elif m["role"] != "system":
            out.append((f"<|{m['role']}|>{m['content']}{EOS}", False))
    return out


def template_environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda v: json.dumps(v, ensure_ascii=False)
    return env


def check_template(path, n=2000):
    template = template_environment().from_string(open(path).read())
    rng = random.Random(7)
    for _ in range(n):
        messages, tools = mix.conversation(rng, rng.choice((mix.EARLY, mix.LATE)))
        if not isinstance(messages, str):
            text = template.render(messages=messages, tools=tools, bos_token=BOS, eos_token=EOS)
            assert text == "".join(t for t, _ in segments(messages, tools)), text


def encoded(tokenizer, rng, n, phase):
    """n documents as (ids, targets wanted)."""
    documents = [segments(*mix.conversation(rng, phase)) for _ in range(n)]
    flat = tokenizer.encode_batch_fast([t for d in documents for t, _ in d], add_special_tokens=False)
    at = 0
    for d in documents:
        ids, wanted = [], []
        for _, answered in d:
            piece = flat[at].ids
            at += 1
            ids += piece
            wanted += [answered] * len(piece)
        yield ids, wanted


class Packer:
    """Sequences of length + 1 ids made of whole documents; those that are longer are left out."""

    def __init__(self, tokenizer, seed, length, phase, pool=400):
        self.tokenizer, self.rng, self.length, self.phase, self.size, self.pool = tokenizer, random.Random(seed), length, phase, pool, []

    def sequence(self):
        ids, wanted = [], []
        if len(self.pool) < self.size:
            self.pool += [d for d in encoded(self.tokenizer, self.rng, self.size, self.phase) if len(d[0]) <= self.length + 1]
        while True:
            room = self.length + 1 - len(ids)
            if room < 160:  # near the end the longest that fits, before that what comes
                fits = [i for i, d in enumerate(self.pool) if len(d[0]) <= room]
                if not fits:
                    break
                i = max(fits, key=lambda k: len(self.pool[k][0]))
            else:
                i = next((i for i, d in enumerate(self.pool) if len(d[0]) <= room), None)
                if i is None:
                    break
            a, b = self.pool.pop(i)
            ids += a
            wanted += b
        pad = self.length + 1 - len(ids)
        return ids + [PAD] * pad, wanted + [False] * pad

    def batch(self, rows):
        pairs = [self.sequence() for _ in range(rows)]
        return numpy.array([p[0] for p in pairs], numpy.int64), numpy.array([p[1] for p in pairs], bool)
