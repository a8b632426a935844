"""The host path measured: what a server does around the model, with a model so small (stories260K)
that the model hardly counts.  Prints one line per figure and a JSON object at the end.

    python3 tests/bench/host_path.py [--seconds 10] [--json FILE]
    python3 tests/bench/host_path.py --viewers [--seconds 10] [--json FILE]    what those who watch /live cost

Server and load generator share the machine, as in docs/speed.md: two cores."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))
from harness import BINARY, Server  # noqa: E402


def bench(server, *args):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [BINARY, "bench", "serve", "--url", server.url, "--output", out.name, *map(str, args)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout}")
        return json.loads(pathlib.Path(out.name).read_text()), done.stdout


def context_switches(server):
    total = 0
    for status in pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def idle(server, seconds):
    time.sleep(1)
    cpu, switches = server.cpu_seconds(), context_switches(server)
    time.sleep(seconds)
    return (server.cpu_seconds() - cpu) / seconds, (context_switches(server) - switches) / seconds


def host_us_per_step(server, before):
    after = server.metrics()
    steps = sum(after[k] - before.get(k, 0) for k in after if k.startswith("inferd:steps_total"))
    host = sum(after[k] - before.get(k, 0) for k in after if k.startswith("inferd:step_host_seconds_total"))
    return host / steps * 1e6, steps


def viewers(seconds, rounds=3):
    """16 streams with nobody and with readers of /live: rates, and the server's own time per step."""
    out = {}
    with Server("--no-log-requests") as s:
        for r in range(rounds + 1):  # the first one warms up
            for n in (0, 1, 4, 16):
                readers = [subprocess.Popen(["curl", "-sNo", "/dev/null", s.url + "/live"]) for _ in range(n)]
                before, cpu = s.metrics(), s.cpu_seconds()
                report, _ = bench(s, "--concurrency", 16, "--duration", seconds, "--input-len", 8, "--output-len", 400, "--num-warmups", 0)
                us, steps = host_us_per_step(s, before)
                cpu = (s.cpu_seconds() - cpu) / steps * 1e6
                for p in readers:
                    if p.poll() is not None:
                        sys.exit(f"a reader of /live ended with {p.returncode}")
                    p.kill()
                    p.wait()
                if r:
                    out.setdefault(n, []).append({"tokens_per_s": report["output_tokens_per_s"], "host_us_per_step": us, "cpu_us_per_step": cpu})
    for n, runs in out.items():
        middle = {k: sorted(x[k] for x in runs)[len(runs) // 2] for k in runs[0]}
        print(f"{n:2} readers of /live: {middle['tokens_per_s']:.0f} tokens/s, {middle['host_us_per_step']:.1f} us of host time and "
              f"{middle['cpu_us_per_step']:.1f} us of all CPU time per step (medians of {len(runs)})")
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json")
    parser.add_argument("--viewers", action="store_true")
    a = parser.parse_args()
    if a.viewers:
        figures = {"viewers": viewers(a.seconds)}
        if a.json:
            pathlib.Path(a.json).write_text(json.dumps(figures, indent=1))
        return
    figures = {}

    with Server("--no-log-requests") as s:
        figures["ready_s"] = s.ready_s
        print(f"ready after {s.ready_s * 1e3:.0f} ms")
        cpu, switches = idle(s, 3)
        figures["idle_cpu"], figures["idle_switches_per_s"] = cpu, switches
        print(f"idle: {cpu * 100:.2f} % CPU, {switches:.1f} wake-ups/s")
        report, text = bench(s, "--concurrency", 16, "--duration", a.seconds, "--input-len", 8, "--output-len", 400)
        figures["streams16"] = report
        print(text)
        before = s.metrics()
        report, text = bench(s, "--concurrency", 256, "--duration", a.seconds, "--input-len", 8, "--output-len", 400,
                             "--num-warmups", 0)  # their steps hold one sequence each
        figures["streams256"] = report
        print(text)
        us, steps = host_us_per_step(s, before)
        figures["host_us_per_step_256"] = us
        print(f"256 sequences: {us:.1f} us of host time per step over {steps:.0f} steps")
        cpu, _ = idle(s, 3)
        print(f"idle afterwards: {cpu * 100:.2f} % CPU")

    with Server("--no-log-requests", "--max-num-queued-reqs", "8192", "--max-connections", "8192") as s:
        report, text = bench(s, "--concurrency", 4000, "--num-requests", 8000, "--input-len", 8, "--output-len", 100)
        figures["streams4000"] = report
        print(text)
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
