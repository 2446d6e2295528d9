"""A target that sends every message back, in TLS if the arguments are the files of a certificate and its key, or on the port that
is the only argument. Says its address on standard output."""

import asyncio
import logging
import ssl
import sys

import websockets


async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)


async def main(*arguments):
    # Health checks connect and say nothing.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    tls, port = None, 0
    if len(arguments) == 1:
        port = int(arguments[0])
    elif arguments:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*arguments)
    async with websockets.serve(echo, "127.0.0.1", port, max_size=None, ssl=tls) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.Future()


asyncio.run(main(*sys.argv[1:]))
