#!/usr/bin/env python3
"""What `make gpu-bench` runs: inferd on a GPU from end to end.  Python's standard library only.

    python3 tests/bench/gpu_bench.py --binary build/bare/release/inferd --out OUT

  engine     `inferd bench engine --device cuda`: prefills and decodes of a small and a large shape, bf16 and int8, with the
             share of the GPU's memory rate
  switches   the small shape's decodes, and a server under load, with and without what can be turned off
  server     the large shape: seconds until it is ready, 64 mixed requests at one time (all answers are checked, and that nothing
             is held afterwards), and the same load as for the switches
  disk       a checkpoint of the large shape, written, loaded in bf16 and int8, removed

Weights are random.  Each step has a time limit, and all of them --budget seconds; one that fails or finds no time left does not
keep the others from running.  OUT/report.md and OUT/report.json hold what there is after each step, OUT/logs what was said.
Ends in "N passed, N failed".
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gpu_load import Failure, Server, mixed_requests, run_mixed, tail  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "attention_bias": False, "torch_dtype": "bfloat16",
         "bos_token_id": 1, "eos_token_id": 2, "rms_norm_eps": 1e-5, "tie_word_embeddings": False}
SHAPES = {
    "llama-1.1b": {**LLAMA, "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
                   "intermediate_size": 5632, "vocab_size": 32000, "max_position_embeddings": 8192, "rope_theta": 10000.0},
    "llama-3.1-8b": {**LLAMA, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
                     "head_dim": 128, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
                     "rope_theta": 500000.0, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                                              "original_max_position_embeddings": 8192, "rope_type": "llama3"}},
    "tiny": {**LLAMA, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
             "intermediate_size": 32, "vocab_size": 4096, "max_position_embeddings": 128, "rope_theta": 10000.0},
}
# What is compared with "as it is"; words with = before any - are environment.  --variant adds more.
VARIANTS = ["", "--enforce-eager", "--no-async-scheduling", "--no-kernel-overlap"]
WRITE = """import pathlib, sys
sys.path.insert(0, sys.argv[1])
from start_times import make_checkpoint
make_checkpoint(*map(pathlib.Path, sys.argv[2:]))"""


@dataclasses.dataclass
class Work:
    small: str
    large: str
    prompts: str
    batches: str
    contexts: str
    n_requests: int  # mixed ones
    longest: int     # prompt of theirs
    n_tokens: int    # of an answer at most
    load: tuple      # of `inferd bench serve`: concurrency, requests, input, output
    server: tuple    # options
    n_turns: int     # of the switches


FULL = Work("llama-1.1b", "llama-3.1-8b", "512,2048", "1,8,32,64", "128,4096", 64, 1500, 128, (32, 128, 128, 128),
            ("--max-num-seqs", "64", "--max-model-len", "4096"), 2)
TINY = Work("tiny", "tiny", "8,20", "1,2", "16,48", 12, 40, 6, (2, 2, 8, 4),
            ("--max-num-seqs", "8", "--max-num-batched-tokens", "32", "--kv-cache-memory-bytes", "256K"), 1)
LIMITS = {"engine": 150, "switches": 150, "server": 120, "disk": 180}  # seconds


class Bench:
    def __init__(self, o):
        self.o, self.work = o, TINY if o.tiny else FULL
        self.out, self.logs = o.out, o.out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.device = ["--device", "cuda", *(["--cuda-plugin", o.plugin] if o.plugin else [])]
        self.end, self.step_end = time.monotonic() + o.budget, None
        self.report = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "gpu": gpu_name(),
                       "version": self.run("version", o.binary, "--version").strip(), "steps": [], "engine": {}, "switches": [],
                       "server": {}, "disk": {}}

    # --- commands ---

    def left(self):
        """Seconds that the step has left."""
        seconds = min(self.end, self.step_end or self.end) - time.monotonic()
        if seconds <= 0:
            raise Failure("out of time")
        return seconds

    def run(self, name, *command, env=None):
        """Standard output; the log keeps what it said beside."""
        log = self.logs / f"{name}.log"
        limit = self.left()
        try:
            with open(log, "w") as err:
                done = subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True,
                                      timeout=limit, env={**os.environ, **(env or {})}, errors="replace")
        except subprocess.TimeoutExpired:
            raise Failure(f"took more than {limit:.0f} s: {name}\n{tail(log)}") from None
        if done.returncode != 0:
            raise Failure(f"exit status {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-500:]}{tail(log)}")
        return done.stdout

    def shape(self, name):
        folder = self.out / "shapes" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(SHAPES[name]))
        return folder

    def bench_engine(self, log, shape, quantization, prompts, batches, contexts, *args, env=None):
        report = self.logs / f"{log}.json"
        self.run(log, self.o.binary, "bench", "engine", self.shape(shape), *self.device, "--quantization", quantization, "--prompt-len",
                 prompts, "--batch", batches, "--context", contexts, "--repeat", 3, "--output", report, *args, env=env)
        return json.loads(report.read_text())

    def serve(self, log, model, *args, env=None, dummy=True):
        more = ["--load-format", "dummy", "--tokenizer", ROOT / "models/demo"] if dummy else []
        return Server([self.o.binary, "serve", model, *self.device, *more, "--no-log-requests", *self.work.server, *args],
                      self.logs / f"{log}.log", self.left(), env)

    def load(self, server, log, vocab_size):
        """`inferd bench serve`: every answer at its full length."""
        concurrency, n, n_in, n_out = self.work.load
        report = self.logs / f"{log}.json"
        self.run(log, self.o.binary, "bench", "serve", "--url", f"http://127.0.0.1:{server.port}", "--concurrency", concurrency,
                 "--num-requests", n, "--num-warmups", 2, "--input-len", n_in, "--output-len", n_out, "--vocab-size", vocab_size,
                 "--seed", 5, "--timeout", int(self.left()) + 1, "--no-progress", "--output", report)
        r = json.loads(report.read_text())
        if r["requests_ok"] != n or r["requests_failed"] or r["requests_short"] or r["output_tokens"] != n * n_out:
            raise Failure(f"{r['requests_ok']} of {n} requests, {r['output_tokens']} of {n * n_out} tokens: {r['errors']}")
        return {"tokens_per_s": r["output_tokens_per_s"],
                **{f"{k}_ms_{q}": r[f"{k}_ms"][q] for k in ("ttft", "itl") for q in ("p50", "p99")}}

    # --- steps ---

    def engine(self, shape):
        w = self.work
        self.report["engine"][shape] = self.bench_engine(f"engine-{shape}", shape, "bf16,int8", w.prompts, w.batches, w.contexts)

    def switches(self):
        """In turn, and the turns' order turned, so that a machine that warms up favours none."""
        variants = [{"name": v or "as it is", "decode": {}, "server": []} for v in (*VARIANTS, *self.o.variant)]
        self.report["switches"] = variants
        for turn in range(self.work.n_turns):
            for i, v in list(enumerate(variants))[::-1 if turn % 2 else 1]:
                words = [] if v["name"] == "as it is" else v["name"].split()
                args = [x for x in words if x.startswith("-")]
                env = dict(x.split("=", 1) for x in words if not x.startswith("-"))
                first = self.work.contexts.split(",")[0]
                r = self.bench_engine(f"switch-{i}-engine-{turn}", self.work.small, "bf16", first, self.work.batches, first, *args, env=env)
                for f in r["figures"]:
                    if f["step"] == "decode":
                        v["decode"].setdefault(str(f["batch"]), []).append(f["step_ms"]["median"])
                with self.serve(f"switch-{i}-server-{turn}", self.shape(self.work.small), *args, env=env) as s:
                    v["server"].append(self.load(s, f"switch-{i}-load-{turn}", SHAPES[self.work.small]["vocab_size"]))

    def server(self):
        w, r = self.work, self.report["server"]
        vocab_size = SHAPES[w.large]["vocab_size"]
        with self.serve("server", self.shape(w.large)) as s:
            r["ready_s"] = s.ready_s
            r["mixed"] = run_mixed(s, mixed_requests(w.n_requests, vocab_size, w.longest, w.n_tokens), self.left())
            r["load"] = self.load(s, "server-load", vocab_size)

    def disk(self):
        """The file was just written: what is measured is loading from the page cache, where there is room for it."""
        shape, model = self.shape(self.work.large), self.out / "checkpoint"
        need, free = 2.2 * n_parameters(SHAPES[self.work.large]), shutil.disk_usage(self.out).free
        if need > min(free, self.o.disk * 2**30):
            raise Failure(f"a checkpoint of {need / 2**30:.1f} GiB: {free / 2**30:.1f} GiB are free, {self.o.disk} may be used (--disk)")
        shutil.rmtree(model, ignore_errors=True)
        try:
            start = time.monotonic()
            # A process of its own: it can be ended where the disk is slow.
            self.run("disk-write", sys.executable, "-c", WRITE, pathlib.Path(__file__).resolve().parent, shape, model)
            self.report["disk"]["write_s"] = time.monotonic() - start
            for name, args in (("bf16", []), ("int8", ["--quantization", "int8"])):
                with self.serve(f"disk-{name}", model, *args, dummy=False) as s:
                    self.report["disk"][f"ready_s_{name}"] = s.ready_s
        finally:
            shutil.rmtree(model, ignore_errors=True)

    # --- the whole ---

    def step(self, name, action, *args):
        kind = name.split()[0]
        if self.o.only and kind not in self.o.only:
            return
        limit = LIMITS[kind]
        say(f"==== {name} (at most {limit} s)")
        start, why = time.monotonic(), None
        self.step_end = start + limit
        try:
            action(*args)
        except (Failure, OSError, ValueError, KeyError, subprocess.SubprocessError) as e:
            why = str(e) if isinstance(e, Failure) else f"{type(e).__name__}: {e}"
        seconds = time.monotonic() - start
        self.step_end = None
        self.report["steps"].append({"name": name, "seconds": seconds, "failed": why})
        say(f"==== {name}: {'FAILED' if why else 'ok'}, {seconds:.1f} s" + (f"\n{why}" if why else ""))
        (self.out / "report.json").write_text(json.dumps(self.report, indent=1) + "\n")
        (self.out / "report.md").write_text(markdown(self.report))

    def all(self):
        w = self.work
        for shape in dict.fromkeys((w.small, w.large)):
            self.step(f"engine {shape}", self.engine, shape)
        self.step("server", self.server)
        self.step("switches", self.switches)
        self.step("disk", self.disk)
        n_failed = sum(s["failed"] is not None for s in self.report["steps"])
        say(markdown(self.report))
        say(f"{len(self.report['steps']) - n_failed} passed, {n_failed} failed")
        return n_failed == 0


def say(text):
    print(text, flush=True)


def n_parameters(c):
    d, h, kv = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]
    e = c.get("head_dim", d // h)
    layer = 2 * d * h * e + 2 * d * kv * e + 3 * d * c["intermediate_size"]
    return c["num_hidden_layers"] * layer + 2 * c["vocab_size"] * d


def gpu_name():
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], capture_output=True,
                              text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


# --- the page --------------------------------------------------------------------------------

def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def table(head, rows):
    return "\n".join([row(*head), row(*["---"] * len(head)), *(row(*r) for r in rows)]) + "\n"


def engine_rows(r):
    peak = r["limits"].get("memory", {}).get("limit")
    for f in r["figures"]:
        s = f["step_ms"]["median"] * 1e-3
        rate = f["bytes"] / s
        yield (f["quantization"], f["step"], f["batch"], f["context"], f"{f['tokens_per_s']['median']:.1f}", f"{s * 1e3:.3f}",
               f"{rate / 1e9:.0f}", f"{100 * rate / peak:.1f} %" if peak else "-", f"{f['operations'] / s / 1e12:.2f}",
               f"{100 * f['share']:.1f} % ({f['limited_by']})" if "share" in f else "-")


def load_cells(v):
    return [f"{v[k]:.2f}" for k in ("tokens_per_s", "ttft_ms_p50", "ttft_ms_p99", "itl_ms_p50", "itl_ms_p99")]


LOAD_HEAD = ("tokens/s", "TTFT p50, ms", "p99", "between tokens p50, ms", "p99")


def switch_rows(variants):
    for v in variants:
        if not v["decode"] or not v["server"]:
            continue
        median = {k: statistics.median(s[k] for s in v["server"]) for k in v["server"][0]}
        yield (v["name"], *(f"{statistics.median(ms):.3f}" for ms in v["decode"].values()), *load_cells(median))


def markdown(r):
    parts = [f"# inferd on a GPU\n\n{r['gpu'] or 'no nvidia-smi'}; {r['version']}; {r['date']}.  Random weights.\n"]
    for shape, e in r["engine"].items():
        limits = ", ".join(f"{k} {v['limit'] / 1e12:.2f} T/s" for k, v in e["limits"].items()) or "not known"
        parts += [f"## Engine: {shape} on {e['gpu']}\n\nLimits by clocks and widths: {limits}.\n",
                  table(("weights", "step", "batch", "context", "tokens/s", "ms", "GB/s", "of the memory's rate", "TFLOP/s or TOP/s",
                         "of the step's limit"), engine_rows(e))]
    s = r["server"]
    if "ready_s" in s:
        parts.append(f"## Server\n\nReady after {s['ready_s']:.1f} s, its weights made up.\n")
    if "mixed" in s:
        m = s["mixed"]
        parts.append(f"{m['requests']} mixed requests at one time: {m['answers']} answers, all whole, {m['left']} clients left, nothing held.\n")
    rows = [(name, *load_cells(s[k])) for k, name in (("mixed", "mixed"), ("load", "even load")) if k in s]
    if rows:
        parts.append(table(("requests", *LOAD_HEAD), rows))
    rows = list(switch_rows(r["switches"]))
    if rows:
        batches = [f"decode {b}, ms" for b in r["switches"][0]["decode"]]
        parts += ["## Switches\n", table(("variant", *batches, *LOAD_HEAD), rows)]
    if r["disk"]:
        parts += ["## From disk\n", table(("what", "s"), [(k, f"{v:.1f}") for k, v in r["disk"].items()])]
    parts += ["## Steps\n", table(("step", "s", ""), [(x["name"], f"{x['seconds']:.1f}", "FAILED: " + x["failed"].splitlines()[0]
                                                      if x["failed"] else "ok") for x in r["steps"]])]
    return "\n".join(parts)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/inferd")
    p.add_argument("--plugin", type=pathlib.Path, help="default: libinferd-cuda.so beside the binary")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/gpu-bench", help="folder for the report (default: build/gpu-bench)")
    p.add_argument("--variant", action="append", default=[], metavar="WORDS",
                   help="one more switch: options and NAME=VALUE of the environment in one word, as --variant='--option A=1'")
    p.add_argument("--budget", type=float, default=480, help="seconds for all (default: 480)")
    p.add_argument("--disk", type=int, default=24, help="GiB that the checkpoint may take (default: 24)")
    p.add_argument("--only", choices=LIMITS, nargs="+", help="these steps")
    p.add_argument("--tiny", action="store_true", help="a model of some thousand weights: whether this program works, where a GPU's kernels are host code")
    o = p.parse_args()
    o.binary, o.out = o.binary.absolute(), o.out.absolute()
    return 0 if Bench(o).all() else 1


if __name__ == "__main__":
    sys.exit(main())
