ERRORS = None
DEFAULT = (OSError, ValueError)


def chosen(work, errors=None):
    try:
        return work()
    except (errors or ValueError):
        return None


def configured(work):
    try:
        return work()
    except ERRORS or DEFAULT:
        return None


def both(work):
    try:
        return work()
    except ValueError and TypeError:
        return None


def separate(work):
    try:
        return work()
    except OSError or ValueError:
        return 1
    except (ValueError, KeyError):
        return 2


def flag(work, x, y):
    try:
        return work()
    except ValueError as error:
        return x or y or error


def pair(x):
    assert (x, "no message", 3)
    assert ((x, 1) == (1, 1)), "compared"
    assert (x, len(x))
