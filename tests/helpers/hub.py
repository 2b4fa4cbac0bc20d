"""A local stand-in for the Hugging Face hub's HTTP API: what is checked against it is not checked by the hub itself.

It takes commits of regular files, serves them again, and refuses headers of model cards by rules written here from
what is known of the hub's; only the real hub knows all of its own.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

COMMIT = "0123456789" * 4
TASKS = ("image-classification", "text-classification")


def refused(content: str) -> str | None:
    """Say what is wrong with a card's header."""
    begin, _, rest = content.partition("\n")
    if begin != "---" or "\n---" not in rest:
        return "there is no header"
    try:
        header = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError as error:
        return f"no YAML: {error}"
    if not isinstance(header, dict):
        return "the header is no mapping"
    for key in ("tags", "datasets", "metrics"):
        if not all(isinstance(one, str) and one for one in header.get(key, ["some"])):
            return f"{key} must be strings"
    if any(one.count("/") != 1 or " " in one for one in header.get("datasets", [])):
        return "datasets must be names on the hub"
    if header.get("pipeline_tag", TASKS[0]) not in TASKS:
        return f"pipeline_tag {header['pipeline_tag']!r} is unknown"
    for model in header.get("model-index", []):
        if not isinstance(model.get("name"), str):
            return "model-index needs a name"
        for result in model["results"]:
            if result["task"]["type"] not in TASKS:
                return "model-index has an unknown task"
            if not all(isinstance(result["dataset"].get(key), str) for key in ("name", "type")):
                return "model-index needs name and type of the dataset"
            if not all({"type", "value"} <= one.keys() for one in result["metrics"]):
                return "model-index needs type and value of a metric"
    return None


class Hub:
    """What was sent.

    Attributes:
        files: content by repository and name.
        visibility: of the repositories that were created.
        tokens: of all requests that had one.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.visibility: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.address = ""


@contextmanager
def stand_in() -> Iterator[Hub]:
    """Serve a hub on this machine."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, content: Any = b"", **headers: str) -> None:
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.tokens.add(self.headers.get("Authorization", ""))
            if self.path == "/api/validate-yaml":
                wrong = refused(json.loads(body)["content"])
                errors = [{"message": wrong}] if wrong else []
                self.answer(400 if wrong else 200, {"errors": errors, "warnings": []})
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                hub.visibility[name] = asked.get("visibility", str(asked.get("private")))
                hub.files.setdefault(name, {})
                self.answer(200, {"url": f"{hub.address}/{name}", "name": name})
            elif "/preupload/" in self.path:
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                self.answer(200, {"files": files})
            elif "/commit/" in self.path:
                name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        value = line["value"]
                        hub.files[name][value["path"]] = base64.b64decode(value["content"])
                address = f"{hub.address}/{name}/commit/{COMMIT}"
                self.answer(200, {"commitUrl": address, "commitOid": COMMIT, "success": True})
            else:
                self.answer(404)

        def do_GET(self) -> None:
            name, _, rest = self.path.lstrip("/").partition("/resolve/")
            content = hub.files.get(name, {}).get(rest.partition("?")[0].partition("/")[2])
            if content is None:
                code = "EntryNotFound" if name in hub.files else "RepoNotFound"
                self.answer(404, X_Error_Code=code, X_Repo_Commit=COMMIT)
                return
            etag = hashlib.sha256(content).hexdigest()
            self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
