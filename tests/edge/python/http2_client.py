"""WebSockets over HTTP/2 (RFC 8441) with the libraries h2 and websockets: several tunnels and a plain request on one
connection. The arguments are the address of the connection, how many tunnels there shall be, and, for TLS, the file of the
authority to trust and the host to ask for. Fails when what comes back is not what was sent."""

import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

MESSAGES = [b"hello", b"", bytes(range(256)) * 4, b"all work and no play " * 20_000]


class Connection:
    """One connection, driven by whoever waits for something."""

    def __init__(self, stream, scheme):
        self.stream, self.scheme = stream, scheme
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.settings, self.heads, self.data, self.ended, self.resets = {}, {}, {}, set(), {}
        self.flush()

    def flush(self):
        self.stream.sendall(self.h2.data_to_send())

    def wait_for(self, what):
        """Reads until there is something, which is returned."""
        while not (found := what()):
            received = self.stream.recv(65536)
            assert received, "the connection ended"
            for event in self.h2.receive_data(received):
                self.note(event)
            self.flush()
        return found

    def note(self, event):
        if isinstance(event, RemoteSettingsChanged):
            self.settings.update((code, changed.new_value) for code, changed in event.changed_settings.items())
        elif isinstance(event, ResponseReceived):
            self.heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.data.setdefault(event.stream_id, bytearray()).extend(event.data)
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code

    def request(self, method, path, headers, end_stream):
        stream = self.h2.get_next_available_stream_id()
        names = [(":method", method), (":scheme", self.scheme), (":authority", "a.example"), (":path", path)]
        self.h2.send_headers(stream, names + headers, end_stream=end_stream)
        self.flush()
        return stream

    def send(self, stream, data, end_stream=False):
        """Sends as the windows allow."""
        while data:
            room = self.wait_for(lambda: min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size))
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end_stream:
            self.h2.end_stream(stream)
            self.flush()


class Tunnel:
    """A WebSocket on one stream."""

    def __init__(self, connection, path):
        self.connection = connection
        headers = [(":protocol", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]
        self.stream = connection.request("CONNECT", path, headers, end_stream=False)
        self.protocol = ClientProtocol(parse_uri("ws://a.example/"), state=State.OPEN, max_size=None)

    def opened(self):
        head = self.connection.wait_for(lambda: self.connection.heads.get(self.stream))
        assert head[":status"] == "200", head
        assert "connection" not in head and "upgrade" not in head and "sec-websocket-accept" not in head, head

    def send(self):
        for data in self.protocol.data_to_send():
            self.connection.send(self.stream, data)

    def message(self):
        """The next message, put together."""
        whole = bytearray()
        while True:
            frame = self.connection.wait_for(self.next_frame)
            whole += frame.data
            if frame.fin:
                return bytes(whole)

    def next_frame(self):
        data = self.connection.data.pop(self.stream, b"")
        if data:
            self.protocol.receive_data(bytes(data))
            self.frames = getattr(self, "frames", []) + self.protocol.events_received()
        if getattr(self, "frames", []):
            return self.frames.pop(0)

    def echo(self, message):
        self.protocol.send_binary(message)
        self.send()
        answer = self.message()
        assert answer == message, f"{len(message)} sent, {len(answer)} came back"

    def close(self):
        self.protocol.send_close(1000, "done")
        self.send()
        frame = self.connection.wait_for(self.next_frame)
        assert frame.opcode == Opcode.CLOSE, frame
        self.connection.wait_for(lambda: self.stream in self.connection.ended)


def connect(address, authority, host):
    ip, port = address.rsplit(":", 1)
    stream = socket.create_connection((ip, int(port)), timeout=20)
    if not authority:
        return Connection(stream, "http")
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    stream = context.wrap_socket(stream, server_hostname=host)
    assert stream.selected_alpn_protocol() == "h2"
    return Connection(stream, "https")


def main(address, count, authority=None, host=None):
    connection = connect(address, authority, host)
    connection.wait_for(lambda: connection.settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL))
    tunnels = [Tunnel(connection, f"/chat/{number}") for number in range(int(count))]
    for tunnel in tunnels:
        tunnel.opened()
    for message in MESSAGES:
        for tunnel in tunnels:
            tunnel.echo(message)
    for tunnel in tunnels[1:]:
        tunnel.close()
    # The first outlives the others, and is broken off.
    tunnels[0].echo(b"still here")
    connection.h2.reset_stream(tunnels[0].stream, ErrorCodes.CANCEL)
    connection.flush()


main(*sys.argv[1:])
