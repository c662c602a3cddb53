"""``lake ui`` beside one that runs already."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from support.lake import Root

from lakehouse.locks import file_lock


class Answers(BaseHTTPRequestHandler):
    """What Dagster's web server says to who asks whether it is there."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_second_one_says_where_the_first_is(lake, root: Root) -> None:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    lock = root.settings.dagster_home / "ui.lock"
    with file_lock(lock, purpose=f"lake ui --port {port}"):
        code, out, err = lake("ui")
        server.shutdown()
        server.server_close()
        starting = lake("ui")
    assert (code, err) == (0, "")
    assert out.startswith(f"Dagster UI: http://127.0.0.1:{port} (already running, pid ")
    assert starting[0] == 1
    assert f"`lake ui --port {port}` is starting or stopping" in starting[2]
