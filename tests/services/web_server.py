"""A web server for a process of its own: it prints its port, and answers `/?0.5` after half a real second."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    """Answers with the port of the connection, by which a client knows whether it is still the same one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Wait for as long as the query says, then answer: head and body in packets of their own."""
        time.sleep(float(urlsplit(self.path).query or 0))
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """Accepts many connections at once."""

    request_queue_size = 100


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
