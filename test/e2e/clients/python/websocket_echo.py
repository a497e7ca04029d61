"""Echo server of WebSockets. It tells its port on the first line; a message that is a command is answered with what was asked for."""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

closings = []


async def echo(connection):
    extensions = [extension.name for extension in connection.protocol.extensions]
    try:
        while True:
            fragments = [fragment async for fragment in connection.recv_streaming()]
            message = fragments[0][:0].join(fragments)
            match message.split(" ") if isinstance(message, str) else []:
                case ["fragments", *_]:
                    await connection.send(str(len(fragments)))
                case ["extensions"]:
                    await connection.send(",".join(extensions))
                case ["headers", name]:
                    await connection.send(",".join(connection.request.headers.get_all(name)))
                case ["closings"]:
                    await connection.send(" ".join(closings))
                case ["close", code, reason]:
                    await connection.close(int(code), reason)
                case ["stream", count]:
                    await connection.send(str(number) for number in range(int(count)))
                case _:
                    await connection.send(message)
    except ConnectionClosed:
        if connection.close_code >= 4000:
            closings.append(f"{connection.close_code}/{connection.close_reason}")


async def main():
    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
