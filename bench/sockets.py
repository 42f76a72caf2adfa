"""HTTP and event lines over Unix sockets: the barest way to speak to the engine and to the daemon."""

import http.client
import json
import socket
from urllib.parse import quote


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:400]}")
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Peer:
    """One persistent connection. Answers are JSON; a status that is not 2xx raises Refused."""

    def __init__(self, path, prefix="", timeout=120):
        self.connection = UnixConnection(path, timeout)
        self.prefix = prefix

    def call(self, method, path, body=None):
        self.ask(method, path, body)
        return self.answer()

    def ask(self, method, path, body=None):
        text = None if body is None else json.dumps(body)
        headers = {} if text is None else {"Content-Type": "application/json"}
        self.connection.request(method, self.prefix + path, text, headers)

    def answer(self):
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status // 100 != 2:
            raise Refused(answer.status, data.decode("utf-8", "replace"))
        return json.loads(data) if data.strip() else None

    def close(self):
        self.connection.close()


class EventLines:
    """The engine's /events on a bare socket: complete JSON lines as they come, whatever the chunks."""

    def __init__(self, path, filters):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        query = quote(json.dumps(filters))
        self.sock.sendall(f"GET /events?filters={query} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        self.pending = b""
        self.in_head = True

    def fileno(self):
        return self.sock.fileno()

    def read(self):
        self.pending += self.sock.recv(65536)
        if self.in_head and b"\r\n\r\n" in self.pending:
            self.pending = self.pending.split(b"\r\n\r\n", 1)[1]
            self.in_head = False
        if self.in_head:
            return []
        *lines, self.pending = self.pending.split(b"\n")
        return [json.loads(line) for line in lines if line.strip().startswith(b"{")]

    def close(self):
        self.sock.close()
