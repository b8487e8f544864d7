import os
import tempfile


class Store:
    def __init__(self):
        self.made = []

    def exists(self):
        return bool(self.made)

    def mkdir(self, parents=False):
        self.made.append(parents)


def prepare(store):
    if not store.exists():
        store.mkdir(parents=True)
    return store.made


def named(make):
    if not os.path.exists(make()):
        os.makedirs(make())


def marked(folder, log):
    if not os.path.exists(folder):
        os.makedirs(folder)
        log.append(folder)


def other(folder, parent):
    if not os.path.exists(folder):
        os.makedirs(parent)


def single(folder):
    if not os.path.isdir(folder):
        os.mkdir(folder)


def strict(folder):
    if not os.path.exists(folder):
        os.makedirs(folder, exist_ok=False)


def twice(folder):
    if not os.path.exists(folder):
        # Only the first time.
        os.makedirs(folder)


print(prepare(Store()), tempfile.gettempdir() != "")
