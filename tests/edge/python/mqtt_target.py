"""A target that speaks as much of MQTT 3.1.1 over WebSockets as a client needs to publish, on the port that is the argument. Says its
address on standard output, once it listens, and then the payload of each message that comes."""

import asyncio
import logging
import sys

import websockets

CONNECT, PUBLISH, PINGREQ = 1, 3, 12
CONNACK, PINGRESP = b"\x20\x02\0\0", b"\xd0\0"


def packet(data):
    """The kind and the body of the first packet, and what comes after it; nothing where it is not complete."""
    length, shift = 0, 0
    for place, byte in enumerate(data[1:5], 2):
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            end = place + length
            return (data[0] >> 4, data[place:end], data[end:]) if len(data) >= end else None
    return None


async def serve(socket, *_):
    data = b""
    async for message in socket:
        data += message
        while found := packet(data):
            kind, body, data = found
            if kind == CONNECT:
                await socket.send(CONNACK)
            elif kind == PINGREQ:
                await socket.send(PINGRESP)
            elif kind == PUBLISH:
                topic = int.from_bytes(body[:2], "big")
                print(body[2 + topic:].decode(), flush=True)


async def main(port):
    # Health checks connect and say nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with websockets.serve(serve, "127.0.0.1", int(port), subprotocols=["mqtt"]) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main(sys.argv[1]))
