"""The programs that `compare` runs: how each is called, and how its report is read.

A side is one program with one way to hold its weights: `Inferd`, or `Peer` for llama.cpp and ik_llama.cpp.  All have

    prefill(precision, o)   -> tokens/s of a prompt of o.prompt_len
    decode(precision, o)    -> {batch: tokens/s} of decode steps with o.context tokens in the cache of each sequence
    server(precision, port, o) -> the command of a server on 127.0.0.1:port

and `serve_and_load` is what a server does with o.streams concurrent streams.  Everything that goes wrong raises `Failure`,
whose text says what to do.
"""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Of a peer; llama-bench also says which of the two it is.
PROGRAMS = {"prefill": "llama-bench", "decode": "llama-batched-bench", "server": "llama-server"}
# How many steps a decode of a peer has; the context is that of the one in the middle.
DECODE_STEPS = 16
# A row of llama-batched-bench: PP, TG, B, N_KV, T_PP, S_PP, T_TG, S_TG, T, S.
BATCHED_ROW = re.compile(r"^\|" + r"\s*(\d+)\s*\|" * 4 + r"\s*([\d.]+)\s*\|" * 6 + r"\s*$", re.M)
INFERD_WEIGHTS = {"int8": "int8", "int4": "int4", "bf16": "bfloat16"}


class Failure(Exception):
    pass


def tail(text, n=12):
    return "\n".join(text.strip().splitlines()[-n:])


def stop(process):
    """Ends a process and all that it started."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            pass
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            continue
    raise Failure(f"process {process.pid} does not end, not even by SIGKILL")


def run(command, timeout, cwd=None, statuses=(0,)):
    """(stdout, stderr) of a command that must end within `timeout` seconds with one of the statuses."""
    command = [str(c) for c in command]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   errors="replace", cwd=cwd, start_new_session=True)
    except OSError as e:
        raise Failure(f"cannot start {command[0]}: {e.strerror}") from None
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        stop(process)
        raise Failure(f"took more than {timeout:g} s: {' '.join(command)}\nGive a larger --timeout, or less work (--batches, "
                      "--requests)") from None
    except BaseException:
        stop(process)
        raise
    if process.returncode not in statuses:
        raise Failure(f"exit status {process.returncode} of: {' '.join(command)}\n{tail(out + err)}")
    return out, err


class Bystanders:
    """`with Bystanders() as b:`; then b.share is the part of the machine's time that went to others than our own children, which
    must have ended within."""

    def __enter__(self):
        self.busy, self.own, self.start = self.busy_s(), self.own_s(), time.monotonic()
        return self

    def __exit__(self, *_):
        others = self.busy_s() - self.busy - (self.own_s() - self.own)
        self.share = max(0.0, others) / (time.monotonic() - self.start) / os.cpu_count()

    @staticmethod
    def busy_s():
        user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def own_s():
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)))


# --- inferd --------------------------------------------------------------------------------------

class Inferd:
    name = "inferd"

    def __init__(self, binary, model, tokenizer):
        self.binary, self.model, self.tokenizer = binary, pathlib.Path(model), tokenizer
        self.dummy = not list(self.model.glob("*.safetensors"))
        out, _ = run([binary, "--version"], 30)
        self.version = out.strip()

    def holds(self, precision):
        return INFERD_WEIGHTS[precision]

    def engine(self, precision, o, *args):
        with tempfile.TemporaryDirectory() as d:
            report = pathlib.Path(d, "report.json")
            run([self.binary, "bench", "engine", self.model, "--quantization", INFERD_WEIGHTS[precision], "--threads", o.threads,
                 "--repeat", o.repeat, "--no-progress", "--output", report, *args], o.timeout)
            return json.loads(report.read_text())["figures"]

    def prefill(self, precision, o):
        figures = self.engine(precision, o, "--prompt-len", o.prompt_len, "--batch", 1, "--context", 16)
        return next(f["tokens_per_s"]["median"] for f in figures if f["step"] == "prefill")

    def decode(self, precision, o):
        figures = self.engine(precision, o, "--prompt-len", 16, "--context", o.context, "--batch", ",".join(map(str, o.batches)))
        speeds = {f["batch"]: f["tokens_per_s"]["median"] for f in figures if f["step"] == "decode" and f["context"] == o.context}
        if set(speeds) != set(o.batches):
            raise Failure(f"inferd measured the batches {sorted(speeds)} at context {o.context}, not {o.batches}: is the model's "
                          "context shorter? Give a smaller --context")
        return speeds

    def server(self, precision, port, o):
        weights = ["--dtype", "bfloat16"] if precision == "bf16" else ["--quantization", precision]
        if self.dummy:
            weights += ["--load-format", "dummy"]
        if self.tokenizer:
            weights += ["--tokenizer", self.tokenizer]
        return [self.binary, "serve", self.model, *weights, "--host", "127.0.0.1", "--port", port, "--threads", o.threads,
                "--max-num-seqs", o.streams, "--max-model-len", o.slot_len, "--no-enable-prefix-caching", "--no-log-requests"]


# --- llama.cpp and ik_llama.cpp ------------------------------------------------------------------

def find_programs(folder, measures):
    folder, wanted = pathlib.Path(folder), {"llama-bench", *(PROGRAMS[m] for m in measures)}
    for place in (folder, folder / "bin", folder / "build/bin"):
        if all(os.access(place / p, os.X_OK) for p in wanted):
            return {p: place / p for p in wanted}
    raise Failure(f"{folder} has no {', '.join(sorted(wanted))} (nor its bin/): give the folder where the peer's build or package put them")


def usage(program):
    return "".join(run([program, "--help"], 30, statuses=(0, 1)))  # ik_llama.cpp's says 1


class Peer:
    """`models`: {precision: GGUF file}.  `measures`: what it will be asked for.  `repack`: ik_llama.cpp repacks the weights at load."""

    def __init__(self, folder, models, measures, repack=False):
        self.programs, self.models, self.repack = find_programs(folder, measures), models, repack
        self.ik = "-rtr" in usage(self.programs["llama-bench"])
        if repack and not self.ik:
            raise Failure(f"{folder} is llama.cpp, which has no -rtr: its repacking is always on")
        self.kind = "ik_llama.cpp" if self.ik else "llama.cpp"
        self.name = self.kind + (" -rtr" if repack else "")
        self.version = None

    def holds(self, precision):
        return self.models[precision].stem

    def prefill(self, precision, o):
        command = [self.programs["llama-bench"], "-m", self.models[precision], "-t", o.threads, "-p", o.prompt_len, "-n", 0,
                   "-r", o.repeat, "-o", "json", *(["-rtr", 1] if self.repack else [])]
        with tempfile.TemporaryDirectory() as d:
            out, err = run(command, o.timeout, d)
        test = read_llama_bench(out, o)
        self.version = f"{test['build_commit']} ({test['build_number']})"
        return statistics.median(test["samples_ts"])

    def decode(self, precision, o):
        if o.context <= DECODE_STEPS // 2:
            raise Failure(f"--context must be above {DECODE_STEPS // 2} where there are peers")
        prompt = o.context - DECODE_STEPS // 2
        command = [self.programs["llama-batched-bench"], "-m", self.models[precision], "-t", o.threads, "-tb", o.threads,
                   "-c", max(o.batches) * (prompt + DECODE_STEPS), "-b", 2048, "-ub", 512, "-npp", prompt, "-ntg", DECODE_STEPS,
                   "-npl", ",".join(map(str, o.batches)), *(["-rtr"] if self.repack else [])]
        with tempfile.TemporaryDirectory() as d:
            out, err = run(command, o.timeout, d)
        return read_batched_bench(out + err, prompt, o.batches)

    def server(self, precision, port, o):
        # No prompt comes twice, so keeping them could only cost time.
        no_cache = ["-cram", 0] if "-cram" in usage(self.programs["llama-server"]) else []
        return [self.programs["llama-server"], "-m", self.models[precision], "--host", "127.0.0.1", "--port", port,
                "-t", o.threads, "-tb", o.threads, "-np", o.streams, "-c", o.streams * o.slot_len, *no_cache,
                *(["-rtr"] if self.repack else [])]


def read_llama_bench(text, o):
    try:
        tests = [t for t in json.loads(text) if t["n_prompt"] == o.prompt_len and t["n_gen"] == 0]
        if len(tests) == 1 and len(tests[0]["samples_ts"]) == o.repeat and tests[0]["n_threads"] == o.threads:
            return tests[0]
    except (ValueError, KeyError, TypeError):
        pass
    raise Failure(f"llama-bench -o json did not report {o.repeat} runs of {o.prompt_len} tokens with {o.threads} threads:\n{tail(text)}")


def read_batched_bench(text, prompt, batches):
    rows = [m.groups() for m in BATCHED_ROW.finditer(text)]
    speeds = {int(r[2]): float(r[7]) for r in rows if int(r[0]) == prompt and int(r[1]) == DECODE_STEPS}
    if set(speeds) != set(batches):
        raise Failure(f"llama-batched-bench reported the batches {sorted(speeds)}, not {batches}:\n{tail(text)}")
    return speeds


# --- servers -------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_ready(process, port, timeout, log):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failure(f"exit status {process.returncode} of: {' '.join(process.args)}\n{tail(log.read_text(errors='replace'))}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass  # not listening yet, or 503 while it loads
        time.sleep(0.05)
    raise Failure(f"not ready after {timeout:g} s: {' '.join(process.args)}\n{tail(log.read_text(errors='replace'))}")


def serve_and_load(side, precision, o, seed, inferd):
    """The report of `inferd bench serve` against the side's server, which lives no longer than this call."""
    port = free_port()
    command = [str(c) for c in side.server(precision, port, o)]
    with tempfile.TemporaryDirectory() as d:
        log, report = pathlib.Path(d, "log"), pathlib.Path(d, "report.json")
        with open(log, "w") as f:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f, cwd=d, start_new_session=True)
        try:
            wait_ready(process, port, o.timeout, log)
            run([inferd.binary, "bench", "serve", "--url", f"http://127.0.0.1:{port}", "--concurrency", o.streams, "--num-requests",
                 o.requests, "--num-warmups", 2, "--input-len", o.input_len, "--output-len", o.output_len, "--vocab-size", o.vocab_size,
                 "--seed", seed, "--timeout", o.timeout, "--no-progress", "--output", report], o.timeout)
        except Failure as e:
            raise Failure(f"{side.name}: {e}\nits server's log ends:\n{tail(log.read_text(errors='replace'))}") from None
        finally:
            stop(process)
        return check_load(side, json.loads(report.read_text()), o)


def check_load(side, r, o):
    wanted = {"requests_ok": o.requests, "requests_failed": 0, "requests_short": 0, "requests_without_usage": 0, "cached_tokens": 0,
              "input_tokens": o.requests * o.input_len, "output_tokens": o.requests * o.output_len}
    wrong = [f"{k} is {r[k]}, not {v}" for k, v in wanted.items() if r[k] != v]
    if wrong:
        raise Failure(f"{side.name}'s server did not do the work that was asked for, so its speed cannot be compared: {'; '.join(wrong)}"
                      f" (first error: {r['errors'].get('first_error')})")
    return {"output tokens/s": r["output_tokens_per_s"], "all tokens/s": r["input_tokens_per_s"] + r["output_tokens_per_s"],
            "p50 between tokens, ms": r["itl_ms"]["p50"], "p99 between tokens, ms": r["itl_ms"]["p99"]}
