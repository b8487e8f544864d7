import contextlib


class Version:
    def __lt__(self, other):
        raise NotImplemented

    def __contains__(self, item):
        raise NotImplemented


def probe():
    with contextlib.suppress(TypeError):
        raise NotImplemented
    return 1


def warn(old):
    if old:
        UserWarning("old")
    return old


def text_of(error):
    if error:
        ValueError(error).args
    return error


def build(kind):
    if kind:
        made = ValueError(kind)
    else:
        made = None
    return made


def checked():
    try:
        if probe():
            ValueError("not raised")
    except ValueError:
        return 2
    return 3


class Countdown:
    def __init__(self):
        self.left = 2

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left


def outer():
    def stop():
        raise StopIteration

    yield stop


def guarded():
    try:
        yield 1
        raise StopIteration
    except RuntimeError:
        yield 2
    except StopIteration:
        yield 3


print(list(Countdown()), list(guarded()))
