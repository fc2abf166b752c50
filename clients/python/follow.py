"""Has something done and shows what the worker says: `python3 follow.py "fix the failing test"`.

MUSHER_URL and MUSHER_TOKEN_FILE say where the server is and who asks. It needs nothing but Python, from 3.12 on, and the types
of the wire.
"""

import json
import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from musher_types import CreateWorker, EventsReply, WorkerReply

URL = os.environ["MUSHER_URL"]
TOKEN = Path(os.environ["MUSHER_TOKEN_FILE"]).read_text().strip()


def call(path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers)) as answer:
        return json.load(answer)


def main(objective: str) -> None:
    create: CreateWorker = {"intent": {"kind": "task", "objective": objective}, "on_idle": "stop"}
    created: WorkerReply = call("/v1/workers", create)
    log = f"/v1/workers/{created['worker']['worker_id']}/events?wait=20"
    after = ""
    while True:
        page: EventsReply = call(log + after)
        for event in page["events"]:
            payload = event["payload"]
            if payload["type"] == "text_delta":
                print(payload["text"], end="", flush=True)
            elif payload["type"] == "turn_finished":
                print(f"\n{payload['outcome']}")
                return
            elif payload["type"] == "worker_stopped" or payload["type"] == "worker_cancelled":
                # Before any turn of its: nothing comes behind this.
                print(f"\n{payload['type'].removeprefix('worker_')}")
                return
        after = "&" + urllib.parse.urlencode({"after": page["next"]})


main(sys.argv[1])
