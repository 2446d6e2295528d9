"""A server of gRPC that answers the health checks of grpc.health.v1, on a free port of 127.0.0.1; with a certificate's chain and key as
arguments, over TLS. Says its address on standard output. Each line of standard input is SERVICE=STATUS, of which SERVICE may be empty."""

import asyncio
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

STATUSES = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}
services = {}


def service_of(message):
    """The name in a framed HealthCheckRequest, which is shorter than 128 bytes."""
    assert message[0] == 0 and int.from_bytes(message[1:5], "big") == len(message) - 5
    body = message[5:]
    assert not body or (body[0] == 0x0A and body[1] == len(body) - 2)
    return body[2:].decode()


def answer(connection, stream, headers, message):
    asked = (headers[":method"], headers[":path"], headers["content-type"], headers["te"])
    assert asked == ("POST", "/grpc.health.v1.Health/Check", "application/grpc", "trailers"), asked
    head = [(":status", "200"), ("content-type", "application/grpc")]
    status = services.get(service_of(message))
    if status is None:
        connection.send_headers(stream, head + [("grpc-status", "5")], end_stream=True)
        return
    connection.send_headers(stream, head)
    connection.send_data(stream, b"\0\0\0\0\x02\x08" + bytes([STATUSES[status]]))
    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)


async def serve(reader, writer):
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    asked = {}
    while True:
        writer.write(connection.data_to_send())
        data = await reader.read(65536)
        if not data:
            break
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                asked[event.stream_id] = (dict(event.headers), b"")
            elif isinstance(event, DataReceived):
                headers, message = asked[event.stream_id]
                asked[event.stream_id] = (headers, message + event.data)
            elif isinstance(event, StreamEnded):
                answer(connection, event.stream_id, *asked.pop(event.stream_id))
    writer.close()


async def main():
    context = None
    if len(sys.argv) == 3:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*sys.argv[1:])
        context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        service, status = line.decode().strip().split("=")
        services[service] = status


asyncio.run(main())
