"""A socket between the daemon and the engine, or the hub, that passes everything on, and can be told to lose events of
the engine or to stop at the moment before or after one of the daemon's requests."""
import contextlib
import re
import socket
import threading

REQUEST = re.compile(rb"(GET|POST|DELETE|HEAD) (?:/v[0-9.]+)?(/\S*) HTTP/1\.1\r\n")
BLOCK = 65536


def open_socket(address):
    """For a path, or a host and a port."""
    return socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)


class Relay:
    """Between two paths, or two pairs of host and port. `loses(event)`: whether this line of `/events` (bytes) is lost.
    `before(request)`, `after(request)`: called with `METHOD /path` before a request is passed on, and after the
    engine's answer to it has come, before that is passed on; true: the connection is cut there."""

    def __init__(self, path, engine_path, loses=None, before=None, after=None):
        self.path, self.engine_path = (side if isinstance(side, tuple) else str(side) for side in (path, engine_path))
        self.loses, self.before, self.after = loses, before, after
        self.server = open_socket(self.path)

    def __enter__(self):
        self.server.bind(self.path)
        self.server.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.server.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        engine = open_socket(self.engine_path)
        try:
            engine.connect(self.engine_path)
        except OSError:
            client.close()
            return
        talk = _Talk(self, client, engine)
        threading.Thread(target=talk.answers, daemon=True).start()
        talk.requests()


class _Talk:
    """One connection. Requests are not pipelined: the answer that comes next belongs to the newest request."""

    def __init__(self, relay, client, engine):
        self.relay, self.client, self.engine = relay, client, engine
        self.request = ""

    def cut(self):
        for side in (self.client, self.engine):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def requests(self):
        with contextlib.suppress(OSError):
            while data := self.client.recv(BLOCK):
                if head := REQUEST.match(data):
                    self.request = f"{head[1].decode()} {head[2].decode()}"
                    if self.relay.before and self.relay.before(self.request):
                        break
                self.engine.sendall(data)
        self.cut()

    def answers(self):
        with contextlib.suppress(OSError):
            while data := self.engine.recv(BLOCK):
                request, self.request = self.request, ""
                if request and self.relay.after and self.relay.after(request):
                    break
                if self.relay.loses and request.startswith("GET /events"):
                    head, end, rest = data.partition(b"\r\n\r\n")
                    self.client.sendall(head + end)
                    self._filter(rest)
                self.client.sendall(data)
        self.cut()

    def _filter(self, rest):
        """The body of /events: one chunk an event."""
        while True:
            while b"\r\n" not in rest:
                rest += self._more()
            length, _, body = rest.partition(b"\r\n")
            whole = int(length, 16) + 2
            while len(body) < whole:
                body += self._more()
            if not self.relay.loses(body[:whole]):
                self.client.sendall(length + b"\r\n" + body[:whole])
            rest = body[whole:]

    def _more(self):
        data = self.engine.recv(BLOCK)
        if not data:
            raise OSError("the engine has closed the stream")
        return data
