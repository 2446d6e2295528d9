"""A client of an echo target. The arguments are its URL and, for wss, the file of the authority to trust and the host to ask
for. Fails when what comes back is not what was sent."""

import asyncio
import ssl
import sys

import websockets

MESSAGES = [
    "hello",
    "",
    "grüße 🚇",
    bytes(range(256)),
    # Compression makes these small on the wire.
    "all work and no play " * 200_000,
    b"\x00\x01\x02\x03" * 1_000_000,
]


async def main(url, authority=None, host=None):
    settings = {}
    if authority:
        settings = {"ssl": ssl.create_default_context(cafile=authority), "server_hostname": host}
    async with websockets.connect(url, max_size=None, **settings) as socket:
        for message in MESSAGES:
            await socket.send(message)
            echo = await socket.recv()
            assert echo == message, f"{len(message)} sent, {len(echo)} came back"
        pong = await socket.ping()
        await pong
        await socket.close(1000, "done")
        assert socket.close_code == 1000, socket.close_code
        assert socket.close_reason == "done", socket.close_reason


asyncio.run(main(*sys.argv[1:]))
