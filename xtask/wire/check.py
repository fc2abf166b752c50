"""Holds the built server against its own description: `cargo xtask ci` runs this in the step `wire`.

The OpenAPI document is validated, as the repository has it and as the server answers it, and schemathesis then asks the
server whatever the document allows, and what it does not. Nothing is skipped: what fails ends with another code than 0.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from openapi_spec_validator import validate

HERE = pathlib.Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "reference" / "openapi.json"
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
RUN_SECS = 300


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


def described(url, token):
    """The document that the server answers."""
    request = urllib.request.Request(f"{url}/openapi.json", headers={"Authorization": f"Bearer {token}"})
    # A proxy of the machine has nothing to do with a server on it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE_SECS) as answer:
        return json.load(answer)


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
            answered = described(url, token)
            validate(answered)
            if answered != document:
                sys.exit("the server answers with another document than the repository has")
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
