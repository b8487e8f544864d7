import random

import yaml


class Loader(yaml.SafeLoader):
    pass


def read(text, loader):
    return yaml.load(text, Loader=Loader), yaml.load(text, loader), yaml.full_load(text)


def new_password(letters):
    random.seed(3)
    return random.choice(letters)


class Words:
    @staticmethod
    def load(text):
        return text


def word(yaml):
    return yaml.load("a")
