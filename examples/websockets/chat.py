"""A chat room: who joins says a name first, everybody sees who comes, talks and goes."""

import asyncio
import json

from h2ws_fast.websockets.asyncio.client import connect
from h2ws_fast.websockets.asyncio.server import broadcast, serve
from h2ws_fast.websockets.exceptions import ConnectionClosed

people = {}


def tell(**event):
    broadcast(people, json.dumps(event))


async def room(websocket):
    name = json.loads(await websocket.recv())["name"]
    if name in people.values():
        await websocket.close(4000, f"there is a {name} already")
        return
    people[websocket] = name
    tell(joined=name, people=sorted(people.values()))
    try:
        async for message in websocket:
            tell(name=name, said=json.loads(message)["say"])
    finally:
        del people[websocket]
        tell(left=name)


class Person:
    def __init__(self, websocket):
        self.websocket = websocket

    @classmethod
    async def join(cls, uri, name):
        person = cls(await connect(uri))
        await person.websocket.send(json.dumps({"name": name}))
        return person

    async def say(self, text):
        await self.websocket.send(json.dumps({"say": text}))

    async def hear(self):
        print(await self.websocket.recv())


async def main():
    async with serve(room, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        ada = await Person.join(uri, "Ada")
        await ada.hear()
        bob = await Person.join(uri, "Bob")
        await ada.hear()
        await bob.hear()
        twin = await Person.join(uri, "Bob")
        try:
            await twin.hear()
        except ConnectionClosed as error:
            print("refused:", error.rcvd.code, error.rcvd.reason)
        await bob.say("hello")
        await ada.hear()
        await bob.hear()
        await bob.websocket.close()
        await ada.hear()
        await ada.websocket.close()


asyncio.run(main())
