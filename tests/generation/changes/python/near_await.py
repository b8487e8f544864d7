import asyncio
from functools import partial


class Base:
    async def save(self):
        return 1

    def run(self):
        self.save


class Sync(Base):
    def save(self):
        print("sync")

    async def main(self):
        self.save()


async def tick():
    return 1


tick = partial(print, "replaced")


async def numbers():
    yield 1


async def later():
    return 2


async def main(group):
    tick()
    numbers()
    group.create_task(later())
    (later(), group)

    def inner():
        later()

    return inner


class Other:
    def later(self):
        print("not the coroutine")

    async def go(self, later):
        self.later()
        later()


class Patched:
    def __init__(self, close):
        self.close = close

    async def close(self):
        return 1

    async def run(self):
        self.close()


asyncio.run(Sync().main())
