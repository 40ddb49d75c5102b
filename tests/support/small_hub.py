"""A hub on loopback that serves one folder as a model: enough of the Hugging Face protocol for its own client."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "1" * 40


@contextlib.contextmanager
def small_hub(identifier: str, folder: Path, *, stall: str = "") -> Iterator[tuple[str, list[str]]]:
    """The address to give as HF_ENDPOINT, and the list that requests are noted in. A file called `stall` never ends."""
    asked: list[str] = []
    ending = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = urlsplit(self.path).path
            asked.append(f"{self.command} {path}")
            if path in (f"/api/models/{identifier}", f"/api/models/{identifier}/revision/main"):
                self.send(json.dumps({"id": identifier, "modelId": identifier, "sha": COMMIT}).encode(), body)
            elif path == f"/api/models/{identifier}/tree/{COMMIT}":
                files = [
                    {"type": "file", "path": each.name, "size": each.stat().st_size, "oid": etag(each.read_bytes())}
                    for each in sorted(folder.iterdir())
                ]
                self.send(json.dumps(files).encode(), body)
            elif path.startswith(f"/{identifier}/resolve/{COMMIT}/"):
                self.send(
                    (folder / path.rpartition("/")[2]).read_bytes(), body, path.endswith(stall) if stall else False
                )
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()

        def send(self, data: bytes, body: bool, never_ends: bool = False) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{etag(data)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body and never_ends:
                self.wfile.write(data[:1])
                self.wfile.flush()
                ending.wait()
            elif body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        ending.set()
        server.shutdown()
        server.server_close()


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
