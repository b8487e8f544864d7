import csv
import json
import sys
from io import StringIO
from zipfile import ZipFile


def lazy(path):
    return (line for line in open(path))


def rows(path):
    return csv.reader(open(path))


def kept(path):
    handle = open(path)
    return handle


def both(source, target):
    json.dump(json.load(open(source)), open(target, "w"))


def own(path, load):
    return load(open(path))


def in_memory(text):
    for line in StringIO(text):
        yield line


def shared(path):
    for line in open(path): print(line)


def texts(path):
    for line in open(path):
        print("""
        of several
        lines""", line)


def member(path, name):
    return ZipFile(path).open(name)


def process(path, run):
    return run(open(path).read())


def counted(path):
    return [sys.stdout.write(x) for x in open(path).readlines()]


def save(path, data):
    with open(path, "w") as file:
        file.write("# head\n")
        csv.writer(file).writerow(data)


def append(path, data):
    with open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(data)
