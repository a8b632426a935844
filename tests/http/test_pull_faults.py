"""`inferd pull` where something goes wrong: hubs that err, stall, lie or mean ill, runs that are cut off, two at once."""

import fcntl
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

import pytest

import hub_server
from harness import BINARY, SLOW
from hub_server import Hold, Hub, body, content, error, hang_up, redirect, serve
from pulling import (NAME, NEEDED, WAIT_S, WEIGHTS, a_hub, cache, complete, environment, finish, hub, interrupt, pull, pulled,  # noqa: F401
                     refused, start)

CDN = "cdn GET"


def ranges(hub, pattern=CDN):
    return [a.headers.get("Range") for a in hub.requests(pattern)]


def weights(hub):
    return hub.repos[NAME].file("model.safetensors")


def no_weights(hub, cache):
    """Nothing is there under a name that anyone looks up."""
    assert weights(hub).etag not in cache.blobs()
    assert not any("model.safetensors" in p for p in map(str, cache.repo().rglob("*")))
    assert cache.ref() is None


# --- connections that end, and servers that have no time -----------------------------------------------------------

def test_a_cut_is_gone_on_from(hub, cache):
    hub.on(CDN, serve(cut=100_000))
    hub.on(CDN, serve(cut=50_000))
    pulled(hub, cache, NAME)
    complete(hub, cache)
    assert ranges(hub) == [None, "bytes=100000-", "bytes=150000-"]


def test_cuts_elsewhere(hub, cache):
    hub.on("/api/models/", hang_up)
    hub.on("resolve/.*/config.json", hang_up)
    hub.on("resolve-cache/.*tokenizer.json", serve(cut=3))
    hub.on(CDN, hang_up)
    pulled(hub, cache, NAME)
    complete(hub, cache)


@pytest.mark.parametrize("fault, least, most", [(error(429, Retry_After="1"), 1, 8), (error(503, Retry_After="1"), 1, 8),
                                                (lambda r: error(429, Retry_After=hub_server.http_date(2))(r), 1, 8),
                                                (error(500), 0.9, 8)],
                         ids=["429", "503", "date", "500"])
def test_a_busy_hub_is_waited_for(hub, cache, fault, least, most):
    hub.on("/api/models/", fault)
    began = time.monotonic()
    rc, _, err = pull(hub, cache, NAME)
    assert rc == 0 and least <= time.monotonic() - began < most * SLOW, err
    assert re.search(r"\b[12] ?s", err), err  # it says that and how long it waits
    complete(hub, cache)


@pytest.mark.parametrize("wait, said", [("100000", "300"), (hub_server.http_date(86400), "300"), ("250", "250")],
                         ids=["long", "date", "short"])
def test_it_never_waits_for_longer_than_five_minutes(hub, cache, wait, said):
    hub.on("/api/models/", error(429, Retry_After=wait), times=None)
    process = start(hub, cache, NAME)
    line = process.stderr.readline()
    assert re.search(rf"\b{said} ?s", line), line
    assert interrupt(process)[0] == 130


@pytest.mark.parametrize("where", ["/api/models/", CDN])
def test_it_gives_up(hub, cache, where):
    hub.on(where, error(503, Retry_After="0"), times=None)
    err = refused(hub, cache, NAME)
    assert "503" in err and len(hub.requests(where)) == 5, (err, len(hub.requests(where)))
    assert "signed-by" not in err, "a signed address is a key"
    no_weights(hub, cache)


def test_bytes_are_progress(hub, cache):
    """Eight failures with a few bytes between them are no reason to give up."""
    for n in (10_000, 20_000):
        hub.on(CDN, serve(cut=n))
        hub.on(CDN, error(503, Retry_After="0"), times=3)
    pulled(hub, cache, NAME)
    assert ranges(hub) == [None] + ["bytes=10000-"] * 4 + ["bytes=30000-"] * 4
    complete(hub, cache)


def test_a_stall_is_noticed(hub, cache):
    hold = Hold(1000)
    hub.on(CDN, hold)
    pulled(hub, cache, NAME, env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    assert hold.left.wait(WAIT_S) and ranges(hub) == [None, "bytes=1000-"]
    complete(hub, cache)


WAY_OUT = "is there a network? https_proxy or HF_ENDPOINT can name another way\n"


@pytest.mark.full  # fifteen seconds between the tries
def test_nobody_is_there_for_long(cache):
    with Hub() as hub:
        pass
    process = start(hub, cache, NAME, "--quiet")
    err = process.communicate(timeout=4 * WAIT_S)[1]
    assert process.returncode == 1
    assert f"cannot reach {hub.url[7:]}: " in err and err.endswith(f"; gave up after 5 tries; {WAY_OUT}"), err


def test_nobody_is_there(cache):
    with Hub() as hub:
        pass
    err = refused(hub, cache, NAME, "--quiet", env={"HF_ENDPOINT": "http://no-such-host.invalid"})
    assert err.startswith("inferd pull: cannot reach no-such-host.invalid: ") and err.endswith("; " + WAY_OUT), err
    process = start(hub, cache, NAME)  # the port is closed: tried again, and that is said
    line = process.stderr.readline()
    assert line.startswith(f"cannot reach {hub.url[7:]}: ") and line.endswith("; trying again in 1 s\n"), line
    assert interrupt(process)[0] == 130


# --- ranges --------------------------------------------------------------------------------------------------------

def test_without_ranges_it_starts_anew(hub, cache):
    cache.plant(weights(hub), WEIGHTS[:1000])
    hub.on(CDN, serve(ranges=False), times=None)
    pulled(hub, cache, NAME)
    assert ranges(hub) == ["bytes=1000-"]
    complete(hub, cache)


@pytest.mark.parametrize("wrong", ["bytes 999-299998/300000", "bytes 0-299999/300000", "bytes 1000-299999/300001", "bytes 1000-299999/*",
                                   "bytes 1000-1000/1", "bits 1000-299999/300000", "nonsense", "bytes 18446744073709552616-1/300000"])
def test_a_wrong_content_range_is_no_part_of_the_file(hub, cache, wrong):
    cache.plant(weights(hub), WEIGHTS[:1000])
    hub.on(CDN, serve(content_range=wrong), times=None)
    refused(hub, cache, NAME)
    no_weights(hub, cache)
    hub.rules.clear()
    pulled(hub, cache, NAME)
    complete(hub, cache)


@pytest.mark.parametrize("left", [WEIGHTS, WEIGHTS[:-1], b"", b"x" * len(WEIGHTS), WEIGHTS + b"more", b"x" * 1000],
                         ids=["whole", "all but one", "empty", "wrong", "longer", "wrong part"])
def test_what_an_earlier_run_left(hub, cache, left):
    cache.plant(weights(hub), left)
    pulled(hub, cache, NAME)
    complete(hub, cache)
    if left == WEIGHTS:
        assert ranges(hub) in ([], ["bytes=300000-"])
    if left == WEIGHTS[:-1]:
        assert ranges(hub) == ["bytes=299999-"]


@pytest.mark.parametrize("path", ["tokenizer.json", "additional_chat_templates/rag.jinja"])
def test_small_files_are_gone_on_from_too(hub, cache, path):
    cache.plant(hub.repos[NAME].file(path), NEEDED[path][:4])
    pulled(hub, cache, NAME)
    assert ranges(hub, f"hub GET .*/resolve/.*/{path}") == ["bytes=4-"]
    complete(hub, cache)


# --- bytes that are not those of the file ----------------------------------------------------------------------------

WRONG = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]


def test_a_wrong_sum_once(hub, cache):
    hub.on(CDN, content(WRONG))
    pulled(hub, cache, NAME)
    assert ranges(hub) == [None, None]
    complete(hub, cache)


def test_a_wrong_sum_for_ever(hub, cache):
    hub.on(CDN, content(WRONG), times=None)
    err = refused(hub, cache, NAME)
    for part in ("model.safetensors", weights(hub).sha256, hashlib.sha256(WRONG).hexdigest()):
        assert part in err, err
    assert ranges(hub) == [None, None]
    assert not any(n.startswith(weights(hub).etag) for n in cache.blobs()), "what is wrong would be gone on from"
    no_weights(hub, cache)


def test_a_wrong_sum_of_a_small_file(hub, cache):
    hub.on("resolve-cache/.*/config.json", content(b'{"model_type": "LLAMA"}'), times=None)
    err = refused(hub, cache, NAME)
    wrong = hub_server.git_sha1(b'{"model_type": "LLAMA"}')
    assert "config.json" in err and hub.repos[NAME].file("config.json").blob_id in err and wrong in err, err
    assert cache.ref() is None


@pytest.mark.parametrize("fault", [serve(more=b"x"), serve(more=b"x" * 1_000_000), serve(more=b"x", chunked=True),
                                   content(WEIGHTS + b"x" * 100_000)], ids=["one", "many", "chunked", "promised"])
def test_more_bytes_than_promised(hub, cache, fault):
    hub.on(CDN, fault, times=None)
    refused(hub, cache, NAME)
    no_weights(hub, cache)
    assert all(len(data) <= len(WEIGHTS) for data in cache.blobs().values())


def test_a_file_without_an_end(hub, cache):
    """It is left when it is too long, not when the disk is full."""
    sent = []

    def endless(r):
        r.close_connection = True
        r.send_response(200)
        r.end_headers()
        sent.append(0)
        while sent[-1] < 64 << 20:
            r.wfile.write(bytes(1 << 16))
            sent[-1] += 1 << 16

    hub.on(CDN, endless, times=None)
    refused(hub, cache, NAME)
    assert sent and max(sent) < 64 << 20
    no_weights(hub, cache)


def test_fewer_bytes_than_promised(hub, cache):
    hub.on(CDN, content(WEIGHTS[:5000]))
    pulled(hub, cache, NAME)
    complete(hub, cache)


def test_without_a_length(hub, cache):
    hub.on(CDN, serve(chunked=True))
    pulled(hub, cache, NAME)
    complete(hub, cache)


def test_a_page_instead_of_a_file(hub, cache):
    """As of a hotel's network."""
    hub.on("resolve-cache/.*/tokenizer.json", body(b"<html>Please log in</html>"), times=None)
    assert "tokenizer.json" in refused(hub, cache, NAME)
    assert cache.ref() is None


# --- refusals --------------------------------------------------------------------------------------------------------

def test_unknown_and_private(hub, cache):
    token = {"HF_TOKEN": hub.token}
    assert "HF_TOKEN" in refused(hub, cache, "org/absent")
    err = refused(hub, cache, "org/absent", env=token)
    assert "org/absent" in err and "exist" in err, err
    err = refused(hub, cache, NAME, env={"HF_TOKEN": "hf_WrongOne"})
    assert "token" in err and "hf_WrongOne" not in err, err
    err = refused(hub, cache, f"{NAME}@v9")
    assert "v9" in err and "HF_TOKEN" not in err, err
    assert not cache.repo().exists() or cache.ref() is None
    assert len(hub.requests()) == 4, "no answer of this kind is worth a second question"


def test_gated(cache):
    with a_hub(gated="manual") as hub:
        assert "HF_TOKEN" in refused(hub, cache, NAME)
        err = refused(hub, cache, NAME, env={"HF_TOKEN": hub.token})
        assert f"{hub.url}/{NAME}" in err and "terms" in err, err
        hub.terms_accepted = True
        pulled(hub, cache, NAME, env={"HF_TOKEN": hub.token})
        complete(hub, cache)


@pytest.mark.parametrize("status, code, word", [(404, "RepoNotFound", NAME), (404, "RevisionNotFound", "main"), (404, "EntryNotFound", ""),
                                                (403, "GatedRepo", "terms"), (404, None, "404"), (400, None, "400"), (418, None, "418"),
                                                (451, None, "451"), (410, None, "410"), (204, None, "204")])
def test_what_the_hub_says_is_passed_on(hub, cache, status, code, word):
    hub.on("/api/models/", error(status, code, "Because of the weather"), times=None)
    err = refused(hub, cache, NAME)
    assert word in err, err
    if status >= 400:
        assert "Because of the weather" in err, err
    assert len(hub.requests()) == 1


def test_a_file_that_is_gone(hub, cache):
    hub.on("/resolve/.*/config.json", error(404, "EntryNotFound", "Entry not found"), times=None)
    assert "config.json" in refused(hub, cache, NAME)
    assert cache.ref() is None


def test_what_the_hub_says_does_not_steer_the_terminal(hub, cache):
    hub.on("/api/models/", error(403, "GatedRepo", "\x1b]0;evil\x07\x9b2J" + "x" * 5000), times=None)
    err = refused(hub, cache, NAME)  # which asserts that it is printable and short
    assert "evil" in err


# --- redirects ---------------------------------------------------------------------------------------------------------

def test_a_renamed_repository(hub, cache):
    hub.renamed["old/name"] = NAME
    folder = pulled(hub, cache, "old/name")
    assert folder == cache.repo("old/name") / "snapshots" / hub.repos[NAME].sha
    assert cache.snapshot(folder.name, "old/name") == NEEDED


def test_redirects_have_an_end(hub, cache):
    for where, target in (("/api/models/", "/api/models/a/b"), ("/resolve/.*/config.json", f"/{NAME}/resolve/x/config.json")):
        hub.forget()
        hub.on(where, redirect(target), times=None)
        err = refused(hub, cache, NAME)
        assert "redirect" in err and len(hub.requests("/a/b|/x/config|" + where)) <= 6, err
        hub.rules.clear()


@pytest.mark.parametrize("where", ["/api/models/", "/resolve/.*/model.safetensors", CDN])
def test_a_redirect_whose_body_has_no_end(hub, cache, where):
    def endless(r):
        r.send_response(302)
        r.send_header("Location", "/elsewhere")
        r.end_headers()
        while True:  # until the client leaves
            r.wfile.write(bytes(1 << 16))
    hub.on(where, endless, times=None)
    err = refused(hub, cache, NAME)
    assert "redirect" in err and "no end" in err, err
    if where != "/api/models/":
        no_weights(hub, cache)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/x", "javascript:alert(1)",
                                    "//", "http://", "http://[::1", ""])
def test_redirects_to_what_is_no_web_server(hub, cache, target):
    hub.on("/resolve/.*/model.safetensors", redirect(target), times=None)
    refused(hub, cache, NAME)
    no_weights(hub, cache)


def test_a_certificate_that_nobody_vouches_for(cache, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key",
                    "-out", tmp_path / "cert"], check=True, capture_output=True)
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        err = refused(None, cache, NAME, env={"HF_ENDPOINT": f"https://127.0.0.1:{server.server_port}", "HF_TOKEN": Hub.token})
    finally:
        server.shutdown()
        server.server_close()
    assert "certificate" in err.lower() and not seen, err


# --- listings that mean ill ----------------------------------------------------------------------------------------------

EVIL = ["../evil.json", "additional_chat_templates/../../../evil.jinja", "/tmp/evil.jinja", "additional_chat_templates//evil.jinja",
        "additional_chat_templates/./evil.jinja", "additional_chat_templates/a\\evil.jinja", "additional_chat_templates/evil\n.jinja",
        "additional_chat_templates/evil\x00.jinja", "additional_chat_templates/evil\x1b[2J.jinja", "", ".", "..",
        "additional_chat_templates/" + "evil" * 2000 + ".jinja", "evil/" * 500 + "x.jinja", "evil\\..\\config.json", "../config.json",
        "additional_chat_templates/evil\x7f.jinja", "evil.tiktoken/../config.json", "a/../../../evil.tiktoken",
        "additional_chat_templates/evil\x9b31m.jinja", "additional_chat_templates/evil\u202e.jinja"]


@pytest.mark.parametrize("name", EVIL)
def test_names_that_mean_ill(cache, name):
    def add(info):
        return info | {"siblings": info["siblings"] + [{**info["siblings"][-1], "rfilename": name}]}

    with a_hub(edit=add) as hub:
        rc, out, err = pull(hub, cache, NAME)
        assert rc in (0, 1) and all(c.isprintable() or c == "\n" for c in err), (rc, err)
        assert not hub.requests("evil|/tmp/")
        if rc == 0:  # it was none of the files that are needed
            complete(hub, cache)
        inside = cache.everything()
        assert not any("evil" in p for p in inside) and all(p.startswith("hf") for p in inside), inside.keys()


@pytest.mark.parametrize("name", ["../../../../evil.safetensors", "/tmp/evil.safetensors", "a/../evil.safetensors", "",
                                  "evil\n.safetensors", "pytorch_model.bin", 7, None, ["x"], "x" * 5000 + ".safetensors"])
def test_an_index_that_means_ill(hub, cache, name):
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": name}}).encode()
    hub.add("org/evil", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": index,
                         "model-1.safetensors": b"1", "pytorch_model.bin": b"PK"})
    refused(hub, cache, "org/evil")
    assert not hub.requests("evil[.]safetensors|pytorch_model")
    assert all(p.startswith("hf") for p in cache.everything()) and cache.ref(name="org/evil") is None


def change(**of_weights):
    """The entry of the weights with other values; those that are None are taken away."""
    def edit(info):
        for s in info["siblings"]:
            if s["rfilename"] == "model.safetensors":
                s |= {k: v for k, v in of_weights.items() if k != "lfs"}
                if isinstance(of_weights.get("lfs"), dict) and "lfs" in s:
                    s["lfs"] |= of_weights["lfs"]
                elif "lfs" in of_weights:
                    s["lfs"] = of_weights["lfs"]
        return info
    return edit


def whole(value):
    return lambda info: value


def top(**values):
    return lambda info: {k: v for k, v in (info | values).items() if v is not ...}


LISTINGS = {
    "short commit": top(sha="abc"), "commit is a path": top(sha="../" * 13 + "x"), "no commit": top(sha=...),
    "commit is a number": top(sha=7), "commit in capitals": top(sha="A" * 40), "no siblings": top(siblings=...),
    "siblings is a text": top(siblings="config.json"), "siblings of numbers": top(siblings=[1, 2]), "no files": top(siblings=[]),
    "a list": whole([]), "a text": whole("hello"), "null": whole(None), "name is a number": change(rfilename=7),
    "short sum": change(lfs={"sha256": "abc"}), "a sum that is a path": change(lfs={"sha256": "../" * 21 + "x"}),
    "a sum that is a number": change(lfs={"sha256": 12}), "lfs is a text": change(lfs="x"),
    "blob is a path": change(blobId="../../x", lfs=None), "negative size": change(size=-1, lfs={"size": -1}),
    "size of 2^60": change(size=2**60, lfs={"size": 2**60}), "a fraction": change(size=1.5, lfs={"size": 1.5}),
    "size is a text": change(size="300000", lfs={"size": "300000"}), "no size": change(size=None, lfs={"size": None}),
    "size of 1e400": change(size=float("inf"), lfs={"size": float("inf")}), "two sizes": change(size=299_999),
}


@pytest.mark.parametrize("what", LISTINGS)
def test_listings_that_are_none(cache, what):
    with a_hub(edit=LISTINGS[what]) as hub:
        rc, out, err = pull(hub, cache, NAME)
        assert rc == 1 or (what == "two sizes" and rc == 0), (rc, err)
        assert "sigma" not in err and err.strip() and all(c.isprintable() or c == "\n" for c in err), err
        assert all(p.startswith("hf") for p in cache.everything())
        if rc:
            no_weights(hub, cache)


@pytest.mark.parametrize("data", [b"", b"{", b"<html>log in</html>", b"[" * 100_000, b'{"sha": "\xff"}', b"\x00" * 100, b"{}" * 2])
def test_what_is_no_listing(hub, cache, data):
    hub.on("/api/models/", body(data), times=None)
    err = refused(hub, cache, NAME)
    assert hub.url in err, err


def test_a_huge_listing(cache):
    def add(info):
        more = [{"rfilename": f"data/{i:09}.bin", "size": i, "blobId": "0" * 40} for i in range(600_000)]
        return info | {"siblings": info["siblings"] + more}

    with a_hub(edit=add) as hub:
        process = start(hub, cache, NAME)
        rc, _, err = finish(process)
        assert rc == 1 and re.search(r"\d", err), err
        assert not hub.requests("/resolve/")


# --- cut off, and two at once ----------------------------------------------------------------------------------------------

def in_the_middle(hub, cache, at=100_000):
    """A pull that has `at` bytes of the weights, and waits for more."""
    hold = Hold(at)
    hub.on(CDN, hold)
    process = start(hub, cache, NAME, "--jobs", 1)
    assert hold.reached.wait(WAIT_S)
    partial = cache.repo() / "blobs" / f"{weights(hub).etag}.incomplete"
    end = time.monotonic() + WAIT_S
    while not partial.exists() or partial.stat().st_size < at:
        assert time.monotonic() < end and process.poll() is None, "what came is not in the file"
        time.sleep(0.01)
    return process, hold


def test_no_half_file_is_visible(hub, cache):
    process, hold = in_the_middle(hub, cache)
    no_weights(hub, cache)
    for path, data in cache.snapshot(hub.repos[NAME].sha).items():
        assert data == NEEDED[path]
    said = subprocess.run([BINARY, "serve", NAME], env=environment(hub, cache), capture_output=True, text=True, timeout=WAIT_S)
    assert said.returncode == 1 and f"inferd pull {NAME}" in said.stderr, said
    hold.release.set()
    assert finish(process)[0] == 0
    complete(hub, cache)


@pytest.mark.parametrize("sig, status", [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_cut_off_and_gone_on(hub, cache, sig, status):
    process, hold = in_the_middle(hub, cache)
    rc, out, err = interrupt(process, sig)
    assert (rc, out) == (status, "")
    assert sig == signal.SIGKILL or err.endswith("interrupted; the same command goes on where it stopped\n"), err
    assert hold.left.wait(WAIT_S)
    no_weights(hub, cache)
    pulled(hub, cache, NAME)
    complete(hub, cache)
    assert ranges(hub) == [None, "bytes=100000-"]


def test_interrupted_while_it_waits(hub, cache):
    hub.on("/api/models/", error(503, Retry_After="200"), times=None)
    process = start(hub, cache, NAME)
    assert process.stderr.readline()
    began = time.monotonic()
    assert interrupt(process)[0] == 130 and time.monotonic() - began < 2 * SLOW


def test_two_at_once(hub, cache):
    first, hold = in_the_middle(hub, cache)
    second = start(hub, cache, NAME)
    line = second.stderr.readline()
    assert "wait" in line.lower(), line
    hold.release.set()
    one, two = finish(first), finish(second)
    assert (one[0], two[0]) == (0, 0) and one[1] == two[1]
    assert ranges(hub) == [None]
    complete(hub, cache)


def test_the_first_of_two_is_killed(hub, cache):
    first, _ = in_the_middle(hub, cache)
    second = start(hub, cache, NAME)
    assert "wait" in second.stderr.readline().lower()
    interrupt(first, signal.SIGKILL)
    assert finish(second)[0] == 0
    assert ranges(hub) == [None, "bytes=100000-"]
    complete(hub, cache)


def test_the_lock_is_that_of_huggingface_hub(hub, cache):
    folder = cache.root / ".locks" / cache.repo().name
    folder.mkdir(parents=True)
    with open(folder / f"{weights(hub).etag}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(hub, cache, NAME)
        while "wait" not in (line := process.stderr.readline().lower()):
            assert line, "it does not say that it waits"
        assert not hub.requests(CDN)
        assert interrupt(process)[0] == 130
        process = start(hub, cache, NAME)
        while "wait" not in process.stderr.readline().lower():
            pass
    assert finish(process)[0] == 0
    complete(hub, cache)


def test_two_that_start_together(hub, cache):
    both = [start(hub, cache, NAME) for _ in range(3)]
    assert {finish(p)[0] for p in both} == {0}
    complete(hub, cache)
    assert len(hub.requests(CDN)) == 1


# --- no room -------------------------------------------------------------------------------------------------------------

def on_a_small_disk(hub, cache, size):
    """`inferd pull` with its cache on a file system of `size`, which lasts as long as it."""
    cache.root.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs "{cache.root}" && "$@"; rc=$?; find "{cache.root}" -type f; exit $rc'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", BINARY, "pull", NAME]
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine has no user namespaces to mount a small disk in")
    return subprocess.run(command, env=environment(hub, cache), capture_output=True, text=True, timeout=WAIT_S)


def test_room_is_looked_for_first(hub, cache):
    done = on_a_small_disk(hub, cache, "32M")  # the files would fit, the reserve does not
    assert done.returncode == 1 and done.stdout.strip() == "", done
    assert not hub.requests("/resolve/"), "nothing is loaded that will not fit"
    needed, free = (re.search(rf"\b{n}([.]\d+)? ?M", done.stderr) for n in ("6[0-9]", "3[0-4]"))
    assert "free" in done.stderr and needed and free, done.stderr


def test_room_enough(hub, cache):
    done = on_a_small_disk(hub, cache, "80M")
    assert done.returncode == 0 and weights(hub).etag in done.stdout, done


def test_what_is_there_needs_no_room(hub, cache):
    """A listing of a huge file is refused for lack of room; the same model without it is not."""
    huge = 2**49
    with a_hub(edit=change(size=huge, lfs={"size": huge})) as big:
        err = refused(big, cache, NAME)
        assert "free" in err and not big.requests("/resolve/"), err
    free = os.statvfs(cache.home)
    assert free.f_bavail * free.f_frsize < huge
