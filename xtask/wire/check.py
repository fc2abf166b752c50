"""Holds the built server against its own description: `cargo xtask ci` runs this in the step `wire`.

The OpenAPI document is validated, as the repository has it and as the server answers it. The example in Python follows a
worker, and what its log and other answers hold has to be what the types for Python say, no more and no less. schemathesis then
asks the server whatever the document allows, and what it does not. Nothing is skipped: what fails ends with another code
than 0.
"""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from openapi_spec_validator import validate
from pydantic import TypeAdapter

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
PYTHON = ROOT / "clients" / "python"
# As a module: a script of a virtual environment that was moved leads to another Python.
SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli"]

CONFIG = """
[runtime]
default_profile = "echo"
[profiles.echo]
backend = "scripted"
script = "echo"
"""

# Longer than a start or an end takes on a busy machine.
PATIENCE_SECS = 60
# The whole run is half a minute on two cores.
RUN_SECS = 900


def ready(process, file):
    """What the server writes when it is ready."""
    end = time.monotonic() + PATIENCE_SECS
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}")
        if file.exists():
            return json.loads(file.read_text())
        # The file comes without any event; looking again is all one can do.
        time.sleep(0.02)
    sys.exit("the server did not get ready")


def answered(url, token, path):
    """What the server answers."""
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Bearer {token}"})
    # A proxy of the machine has nothing to do with a server on it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE_SECS) as answer:
        return json.load(answer)


def followed(url, token_file, objective):
    """What the example in Python says of a worker; it ends with it."""
    variables = {"PATH": os.environ["PATH"], "MUSHER_URL": url, "MUSHER_TOKEN_FILE": str(token_file)}
    # The repository stays as it is.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, PYTHON / "follow.py", objective],
        env=variables,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECS,
        check=True,
        text=True,
    ).stdout


class EndsEarly(http.server.BaseHTTPRequestHandler):
    """A server whose workers end before any turn of theirs: `end` is the last event of their log."""

    end = ""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"worker": {"worker_id": "wrk_1"}})

    def do_GET(self):
        last = {"payload": {"type": self.end, "by": {"token": "admin"}}}
        # Behind its end a log has nothing, however often one asks.
        self.answer({"events": [] if "after=" in self.path else [last], "next": "c1"})

    def answer(self, reply):
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        """What it was asked is nobody's affair."""


def ends_early(token_file):
    """Runs the example in Python with workers that end without a turn."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), EndsEarly) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for EndsEarly.end, expected in [("worker_stopped", "\nstopped\n"), ("worker_cancelled", "\ncancelled\n")]:
            said = followed(f"http://127.0.0.1:{server.server_port}", token_file, "one")
            if said != expected:
                sys.exit(f"of {EndsEarly.end} the example in Python said {said!r}")
        server.shutdown()


def typed(url, token, token_file):
    """Runs the example in Python, and holds what the server answers against the types."""
    said = followed(url, token_file, "one two three")
    if said != "one two three\ncompleted\n":
        sys.exit(f"the example in Python said {said!r}")
    ends_early(token_file)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(PYTHON))
    import musher_types as types

    worker = answered(url, token, "/v1/workers")["workers"][0]["worker_id"]
    for path, reply in [
        ("/v1/runtime", types.RuntimeReply),
        ("/v1/backends", types.BackendsReply),
        ("/v1/profiles", types.ProfilesReply),
        ("/v1/workers", types.WorkerListReply),
        (f"/v1/workers/{worker}", types.WorkerReply),
        (f"/v1/workers/{worker}/events", types.EventsReply),
        (f"/v1/workers/{worker}/transcript", types.TranscriptReply),
        ("/v1/attention", types.AttentionReply),
    ]:
        came = answered(url, token, path)
        # A field that the types do not have would be left out here.
        if TypeAdapter(reply).validate_python(came, strict=True) != came:
            sys.exit(f"{path} answers with what {reply.__name__} does not have: {json.dumps(came)}")


def main(program):
    document = json.loads(DOCUMENT.read_text())
    validate(document)
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        (home / "musher.toml").write_text(CONFIG)
        words = ["serve", "--listen", "127.0.0.1:0", "--store", f"sqlite:{home / 'store'}"]
        for name in ["config", "token-file", "ready-file"]:
            words += [f"--{name}", str(home / ("musher.toml" if name == "config" else name))]
        environment = {"PATH": "/usr/bin:/bin", "HOME": directory}
        server = subprocess.Popen([program, *words], cwd=home, env=environment, stdin=subprocess.DEVNULL)
        try:
            url = ready(server, home / "ready-file")["url"]
            token = (home / "token-file").read_text().strip()
            own = answered(url, token, "/openapi.json")
            validate(own)
            if own != document:
                sys.exit("the server answers with another document than the repository has")
            typed(url, token, home / "token-file")
            asked = subprocess.run(
                [*SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", DOCUMENT, "--url", url]
                + ["--header", f"Authorization: Bearer {token}"],
                cwd=home,
                env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
                timeout=RUN_SECS,
            )
        finally:
            server.send_signal(signal.SIGTERM)
            ended = server.wait(PATIENCE_SECS)
    # Whatever it was asked, the server is to end in order.
    sys.exit(asked.returncode or ended)


main(*sys.argv[1:])
