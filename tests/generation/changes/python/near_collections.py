class Jar(dict):
    def __iter__(self):
        return iter(list(self.keys()))


class Ring(list):
    def __iter__(self):
        while self:
            yield self[0]


def clear(jar):
    for name in jar:
        del jar[name]
    return jar


def drain(ring):
    for item in ring:
        ring.remove(item)
    return ring


def first(items: list[int]) -> list[int]:
    for item in items:
        if item == 2:
            items.remove(item)
            break
    return items


def other(keys: list[str], found: dict[str, int]) -> dict[str, int]:
    for key in keys:
        found.pop(key, None)
    return found


def nested(rows: dict[str, dict[str, int]]) -> None:
    for row in rows.values():
        row.pop("a", None)


def visited(queue: list[int]) -> None:
    for node in queue:
        queue.remove(node)
        if node < 3:
            queue.append(node + 1)


def renamed(prices: dict[str, int]) -> None:
    for name in prices:
        prices[name.upper()] = prices.pop(name)
        prices.pop(name, None)


def replaced(prices: dict[str, int]) -> None:
    for name in prices:
        prices[name] = 0


def shared(names, value):
    return dict.fromkeys(names, value), dict.fromkeys(names, (1, 2)), dict.fromkeys(names, [value])


print(clear(Jar(a=1)), drain(Ring([1, 2])), first([1, 2, 2]))
