"""Trains the demo model: `make demo-train`.

Most steps on short sequences, where attention is cheap; the last ones, and a stretch of more at a rate that rises once again, on
sequences of the whole context, for a model knows nothing of positions that it has not met.  A cut run goes on from its last checkpoint; the data of a step depend on the seed and the step alone.
"""
import argparse
import json
import math
import os
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import copying
import documents
import tokenizer as tokenizer_maker
from corpus import arithmetic, language, mix, structured
from export import export
from model import Demo

SHORT, LONG = 256, 1024
STEPS, LONG_STEPS, STRETCH = 6000, 400, 500
TOKENS_PER_STEP = 8192
CHUNK = 50  # steps that share one stream of documents
WARMUP, DECAY = 100, 19 / 30  # steps; share of all steps in which the rate falls to zero and the late mix is trained on
STRETCH_RATE = 0.25
RATE, RATE_MUON, RATE_EMBED = 2e-3, 6e-3, 2e-2  # of the output layer and gains, the matrices, the embeddings
WATCHED = {"addition": arithmetic.addition, "subtraction": arithmetic.subtraction, "sorting": arithmetic.sorting, "json": structured.json_answer,
           "tool": structured.tool_call, "opaque": structured.opaque_call, "spelling": language.spelling, "unknown": language.unknown,
           "rewrite": language.rewritten}


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", default="models/demo", help="the model directory to write (%(default)s)")
    p.add_argument("--work", default="build/demo-train", help="where checkpoints and the log are kept (%(default)s)")
    p.add_argument("--steps", type=int, default=STEPS, help="all steps (%(default)s)")
    p.add_argument("--long-steps", type=int, default=LONG_STEPS, help="of these, the last ones on whole contexts (%(default)s)")
    p.add_argument("--stretch", type=int, default=STRETCH,
                   help="more steps on whole contexts, at a rate that begins at a quarter and falls again (%(default)s)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=min(8, len(os.sched_getaffinity(0))))
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    return p.parse_args()


def run_of(a):
    """What decides the data and the rate of each step."""
    return {"seed": a.seed, "steps": a.steps, "long_steps": a.long_steps, "stretch": a.stretch}


def rate_at(step, steps, stretch):
    if step >= steps:
        return STRETCH_RATE * min(1.0, (step - steps + 1) / 20, (steps + stretch - step) / stretch)
    decay = int(steps * DECAY)
    return min(1.0, (step + 1) / WARMUP, (steps - step) / decay)


class Batches:
    def __init__(self, tok, a):
        self.tok, self.a, self.chunk, self.packer = tok, a, None, None

    def at(self, step):
        """The batch of a step; a chunk's earlier ones are drawn again after a restart."""
        length = LONG if step >= self.a.steps - self.a.long_steps else SHORT
        phase = mix.LATE if step >= self.a.steps - int(self.a.steps * DECAY) else mix.EARLY
        chunk = (step // CHUNK, length, phase)
        if chunk != self.chunk:
            self.chunk, self.drawn = chunk, step - step % CHUNK
            self.packer = documents.Packer(self.tok, self.a.seed * 1_000_003 + step // CHUNK, length, phase)
        while True:
            ids, wanted = self.packer.batch(TOKENS_PER_STEP // length)
            self.drawn += 1
            if self.drawn > step:
                return torch.from_numpy(ids), torch.from_numpy(wanted)


def held_out_sets(tok, n=128):
    """For each watched kind: ids and wanted of questions that are never trained on."""
    out = {}
    for name, make in WATCHED.items():
        rng, rows = random.Random(99), []
        for _ in range(n):
            s = mix.kept(rng, make, True)
            ids, wanted = [], []
            for text, answered in documents.segments(s.messages(), s.tools):
                piece = tok.encode(text, add_special_tokens=False).ids
                ids += piece
                wanted += [answered] * len(piece)
            rows.append((ids, wanted))
        longest = max(len(i) for i, _ in rows)
        out[name] = (torch.tensor([i + [0] * (longest - len(i)) for i, _ in rows]),
                     torch.tensor([w + [False] * (longest - len(w)) for _, w in rows]))
    return out


@torch.no_grad()
def exact(model, sets, device):
    """Share of answers of which every token is the most likely one: what greedy decoding would get right."""
    out = {}
    for name, (ids, wanted) in sets.items():
        ids, wanted = ids.to(device), wanted.to(device)
        with torch.autocast(device, torch.bfloat16):
            hit = model.logits(model(ids[:, :-1])).argmax(-1) == ids[:, 1:]
        out[name] = round((hit | ~wanted[:, 1:]).all(1).float().mean().item(), 3)
    return out


def optimizers(model):
    hidden = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n and "lm_head" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "lm_head" in n]
    embed = torch.optim.AdamW([model.embed_tokens.weight], lr=RATE_EMBED, betas=(0.9, 0.98), weight_decay=0.0)
    muon = torch.optim.Muon(hidden, lr=RATE_MUON, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    return [(muon, RATE_MUON), (adam, RATE), (embed, RATE_EMBED)]


def save(path, state):
    torch.save(state, f"{path}.new")
    os.replace(f"{path}.new", path)


def train_step(run, model, opts, batch, a, step):
    ids, wanted = (x.to(a.device) for x in batch)
    with torch.autocast(a.device, torch.bfloat16):
        rows = run(ids[:, :-1])[wanted[:, 1:]]
        loss = F.cross_entropy(model.logits(rows).float(), ids[:, 1:][wanted[:, 1:]])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for opt, rate in opts:
        for group in opt.param_groups:
            group["lr"] = rate * rate_at(step, a.steps, a.stretch)
        opt.step()
        opt.zero_grad(set_to_none=True)
    return loss.item()


def main():
    a = arguments()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    work = pathlib.Path(a.work)
    work.mkdir(parents=True, exist_ok=True)
    out = pathlib.Path(a.out)
    checkpoint = work / "checkpoint.pt"
    if not checkpoint.exists():
        tokenizer_maker.train(out)
    documents.check_template(out / "chat_template.jinja")
    tok = Tokenizer.from_file(str(out / "tokenizer.json"))
    model = Demo()
    copying.plant(model)
    model.to(a.device)
    opts, first, seconds = optimizers(model), 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=a.device)
        if state["of"] != run_of(a):
            raise SystemExit(f"{checkpoint} belongs to a run with {state['of']}, this one has {run_of(a)}: remove it, or give another --work")
        model.load_state_dict(state["model"])
        for (opt, _), kept in zip(opts, state["optimizers"]):
            opt.load_state_dict(kept)
        first, seconds = state["step"], state["seconds"]
        print(f"going on from step {first}", flush=True)
    run = model if a.no_compile else torch.compile(model)
    sets, batches = held_out_sets(tok), Batches(tok, a)
    log = open(work / "log.jsonl", "a")
    begun, shown, losses = time.time(), time.time(), []
    total = a.steps + a.stretch
    for step in range(first, total):
        losses.append(train_step(run, model, opts, batches.at(step), a, step))
        assert math.isfinite(losses[-1]), "the loss is not finite"
        if (step + 1) % 50 == 0:
            speed = TOKENS_PER_STEP * len(losses) / (time.time() - shown)
            left = (total - step - 1) * TOKENS_PER_STEP / speed / 60
            print(f"step {step + 1}/{total}  loss {sum(losses) / len(losses):.4f}  {speed:.0f} tokens/s  {left:.0f} min left", flush=True)
            line = {"step": step + 1, "loss": sum(losses) / len(losses), "seconds": seconds + time.time() - begun}
            if (step + 1) % 250 == 0 or step + 1 == total:
                line["exact"] = exact(model, sets, a.device)
                print("  right of 128 held out:", line["exact"], flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            shown, losses = time.time(), []
        if (step + 1) % 100 == 0 or step + 1 == total:
            save(checkpoint, {"model": model.state_dict(), "optimizers": [o.state_dict() for o, _ in opts], "step": step + 1,
                              "of": run_of(a), "seconds": seconds + time.time() - begun})
    export(model, out)
    print(f"written: {out}", flush=True)


if __name__ == "__main__":
    main()
