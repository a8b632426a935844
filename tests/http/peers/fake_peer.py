#!/usr/bin/env python3
"""What llama-bench, llama-batched-bench and llama-server of KIND print, as recorded from real ones, without a model.

fake_peer.py KIND PROGRAM [ARGUMENTS...]; an environment variable FAKE_PEER breaks something: "fails", "hangs", "short".
"""

import http.server
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def option(args, name):
    return args[args.index(name) + 1]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, kind, data):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            return self.answer("application/json", b'{"status":"ok"}')
        self.answer("application/json", b'{"object":"list","data":[{"id":"model","object":"model","created":1,"owned_by":"llamacpp"}]}')

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["stream"] and asked["ignore_eos"] and asked["stream_options"]["include_usage"]
        n = asked["max_tokens"] - (os.environ.get("FAKE_PEER") == "short")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        lines = (HERE / f"{self.server.kind}_events.txt").read_text().splitlines()
        token, *last = [line for line in lines if line]
        usage = {"COMPLETION": n, "PROMPT": len(asked["prompt"]), "TOTAL": n + len(asked["prompt"])}
        for line in [token] * n + last:
            for name, value in usage.items():
                line = line.replace(name, str(value))
            event = line.encode() + b"\n\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")


def main(kind, program, *args):
    if "--help" in args:
        print((HERE / f"{kind}_usage.txt").read_text())
        return 1 if kind == "ik" and program != "llama-bench" else 0
    broken = os.environ.get("FAKE_PEER")
    if broken == "fails":
        print("llama_model_load: error loading model: wrong number of tensors", file=sys.stderr)
        return 1
    if broken == "hangs":
        time.sleep(3600)
    if program == "llama-bench":
        assert option(args, "-o") == "json" and option(args, "-n") == "0"
        print((HERE / f"{kind}_bench.json").read_text())
    elif program == "llama-batched-bench":
        assert int(option(args, "-c")) >= 16 * (int(option(args, "-npp")) + int(option(args, "-ntg")))
        print((HERE / f"{kind}_batched.txt").read_text(), file=sys.stderr if kind == "ik" else sys.stdout)
    else:
        server = http.server.ThreadingHTTPServer((option(args, "--host"), int(option(args, "--port"))), Handler)
        server.kind = kind
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
