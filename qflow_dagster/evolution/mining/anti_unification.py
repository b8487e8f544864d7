"""Anti-unification: the common template of several edits, which are pairs of syntax trees.

Contains trees with holes, matching and substitution, the least general template of two edits (Plotkin 1970,
Reynolds 1970), and the hierarchy of templates by clustering edits (Getafix, Bader et al. 2019).

Pure functions. Two trees are equal if their `key` is; white space is not part of it, but is kept to write
a template as in the original code.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# Words without information: they are in every file.
COMMON = frozenset(
    [
        "self",
        "this",
        "cls",
        "super",
        "None",
        "True",
        "False",
        "null",
        "nil",
        "undefined",
        "true",
        "false",
        "err",
        "e",
        "i",
        "x",
        "_",
        "0",
        "1",
        "2",
    ]
)
OPERATORS = frozenset(
    [
        "==",
        "!=",
        "<=",
        ">=",
        "<",
        ">",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&",
        "|",
        "^",
        "!",
        "~",
        "&&",
        "||",
        "??",
        "?.",
        "=>",
        "->",
        "::",
        "===",
        "!==",
        "<-",
        "**",
        "//",
        "<<",
        ">>",
    ]
)


@dataclass(frozen=True, slots=True)
class Term:
    """A node: its kind, the text of a token ('' of an inner node), and the white space before it."""

    kind: str
    text: str = field(compare=False)
    children: tuple["Tree", ...] = field(default=(), compare=False)
    named: bool = field(default=True, compare=False)
    gap: str = field(default="", compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        # Lengths, so that no text can pass for structure.
        inside = "".join(child.key for child in self.children) if self.children else self.text
        object.__setattr__(self, "key", f"{self.kind}{len(inside)}:{len(self.children)}{inside}")

    def __reduce__(self) -> tuple[type["Term"], tuple[object, ...]]:
        # Keys are long, and made again.
        return Term, (self.kind, self.text, self.children, self.named, self.gap)


@dataclass(frozen=True, slots=True)
class Hole:
    """A placeholder for one named node (of `kind`, unless that is ''), or for any nodes between two brackets."""

    name: str
    kind: str = ""
    several: bool = False
    gap: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The string by which holes are compared."""
        return f"{'$$$' if self.several else '$'}{self.name}"


Tree = Term | Hole
# What each hole stands for: one tree, or the several that a `several` hole took.
Bindings = Mapping[str, tuple[Tree, ...]]


class Edit(NamedTuple):
    """The tree before and after a change; with holes it is a template."""

    left: Tree
    right: Tree

    @property
    def key(self) -> str:
        """The string by which edits are compared."""
        return f"{self.left.key}\n{self.right.key}"


class Cluster(NamedTuple):
    """The least general template of some edits, and their positions in the list."""

    template: Edit
    members: frozenset[int]


def digest(edit: Edit) -> bytes:
    """Return a 12-byte hash of an edit, the same in every process."""
    return hashlib.blake2b(edit.key.encode(errors="replace"), digest_size=12).digest()


def leaves(tree: Tree) -> Iterator[Term]:
    """Yield the tokens of a tree, in order; holes have none."""
    if isinstance(tree, Hole):
        return
    if not tree.children:
        yield tree
    for child in tree.children:
        yield from leaves(child)


def holes(tree: Tree) -> list[Hole]:
    """Return the holes of a tree, in order, each once."""
    by_name: dict[str, Hole] = {}
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, Hole):
            by_name.setdefault(node.name, node)
        else:
            stack.extend(reversed(node.children))
    return list(by_name.values())


def written(tree: Tree) -> str:
    """Return the tree as text, holes as metavariables (`$A`, `$$$A`)."""
    return _written(tree).strip()


def _written(tree: Tree) -> str:
    if isinstance(tree, Hole):
        return tree.gap + tree.key
    return tree.gap + (tree.text if not tree.children else "".join(map(_written, tree.children)))


def concreteness(tree: Tree) -> int:
    """Return how specific a template is: 2 per name or literal, 1 per keyword, operator, or common word."""
    score = 0
    for leaf in leaves(tree):
        if any(character.isalnum() for character in leaf.text):
            score += 2 if leaf.named and leaf.text not in COMMON else 1
        elif leaf.text in OPERATORS:
            score += 1
    return score


def match(template: Tree, tree: Tree) -> dict[str, tuple[Tree, ...]] | None:
    """Return the bindings of the holes of `template` in `tree`; None if it does not match."""
    bindings: dict[str, tuple[Tree, ...]] = {}
    return bindings if _match(template, tree, bindings) else None


def match_edit(template: Edit, edit: Edit) -> dict[str, tuple[Tree, ...]] | None:
    """Match both sides of an edit with the same bindings."""
    bindings: dict[str, tuple[Tree, ...]] = {}
    matches = _match(template.left, edit.left, bindings) and _match(template.right, edit.right, bindings)
    return bindings if matches else None


def _match(template: Tree, tree: Tree, bindings: dict[str, tuple[Tree, ...]]) -> bool:
    if isinstance(template, Hole):
        if template.kind and template.kind != tree.kind:
            return False
        return not _is_token(tree) and _bind(template, (tree,), bindings)
    if isinstance(tree, Hole) or template.kind != tree.kind:
        return False
    if not template.children or not tree.children:
        return template.key == tree.key
    at = _several_at(template.children)
    if at is None:
        return len(template.children) == len(tree.children) and all(
            _match(one, other, bindings) for one, other in zip(template.children, tree.children, strict=True)
        )
    after = len(template.children) - at - 1
    end = len(tree.children) - after
    hole = template.children[at]
    return (
        isinstance(hole, Hole)
        and end >= at
        and all(_match(template.children[i], tree.children[i], bindings) for i in range(at))
        and all(_match(template.children[at + 1 + i], tree.children[end + i], bindings) for i in range(after))
        and _bind(hole, tree.children[at:end], bindings)
    )


def _bind(hole: Hole, trees: tuple[Tree, ...], bindings: dict[str, tuple[Tree, ...]]) -> bool:
    bound = bindings.setdefault(hole.name, trees)
    return [tree.key for tree in bound] == [tree.key for tree in trees]


def substitute(template: Tree, bindings: Bindings) -> Tree:
    """Replace the holes of `template` by `bindings`; unbound holes stay."""
    if isinstance(template, Hole):
        bound = bindings.get(template.name)
        return template if bound is None or template.several else replace(bound[0], gap=template.gap)
    if not template.children:
        return template
    children: list[Tree] = []
    for child in template.children:
        if isinstance(child, Hole) and child.several and child.name in bindings:
            children += bindings[child.name]
        else:
            children.append(substitute(child, bindings))
    return replace(template, children=tuple(children))


def anti_unify(one: Edit, other: Edit) -> Edit | None:
    """Return the least general template of two edits, its holes named A, B, .. from the left.

    None if the complete left side would be a hole, or the right side needs a hole that the left does not bind.
    """
    names: dict[tuple[str, str], Hole] = {}
    left = _generalise(one.left, other.left, names, bound=False)
    if left is None or isinstance(left, Hole):
        return None
    right = _generalise(one.right, other.right, names, bound=True)
    return None if right is None else Edit(left, right)


def _generalise(one: Tree, other: Tree, names: dict[tuple[str, str], Hole], *, bound: bool) -> Tree | None:
    """Generalise two trees; None if a token differs: then the parent becomes the hole. `bound`: no new holes."""
    if isinstance(one, Term) and one.key == other.key and not holes(one):
        return one
    hole = names.get((one.key, other.key))
    if hole is not None:
        return replace(hole, gap=one.gap)
    if _is_token(one) or _is_token(other):
        return None
    same = one.kind == other.kind
    if same and isinstance(one, Term) and isinstance(other, Term) and one.children and other.children:
        children = _generalise_children(one.children, other.children, names, bound=bound)
        if children is not None:
            return replace(one, children=children)
    if bound or any(isinstance(tree, Hole) and tree.several for tree in (one, other)):
        return None
    return _hole(names, (one.key, other.key), Hole("", one.kind if same else "", gap=one.gap))


def _generalise_children(
    one: tuple[Tree, ...], other: tuple[Tree, ...], names: dict[tuple[str, str], Hole], *, bound: bool
) -> tuple[Tree, ...] | None:
    if _several_at(one) is None and _several_at(other) is None and len(one) == len(other):
        generalised: list[Tree] = []
        # A child that cannot be generalised takes the holes made for its siblings with it.
        attempt = dict(names)
        for left, right in zip(one, other, strict=True):
            child = _generalise(left, right, attempt, bound=bound)
            if child is None:
                break
            generalised.append(child)
        else:
            names.update(attempt)
            return tuple(generalised)
        return None
    if bound:
        return _around_hole(one, other, names)
    if not _bracketed(one) or not _bracketed(other):
        return None
    if (one[0].key, one[len(one) - 1].key) != (other[0].key, other[len(other) - 1].key):
        return None
    key = _keys(one[1:-1]), _keys(other[1:-1])
    hole = names.get(key) or _hole(names, key, Hole("", several=True))
    return (one[0], replace(hole, gap=one[1].gap if len(one) > 2 else ""), one[len(one) - 1])


def _around_hole(
    one: tuple[Tree, ...], other: tuple[Tree, ...], names: dict[tuple[str, str], Hole]
) -> tuple[Tree, ...] | None:
    """Find a hole of the left side for the right side's nodes that differ in number, between equal nodes."""
    before = 0
    while before < min(len(one), len(other)) and one[before].key == other[before].key:
        before += 1
    after = 0
    while after < min(len(one), len(other)) and one[-1 - after].key == other[-1 - after].key:
        after += 1
    for start in range(before, -1, -1):
        for rest in range(after, -1, -1):
            ends = len(one) - rest, len(other) - rest
            if min(ends) < start:
                continue
            hole = names.get((_keys(one[start : ends[0]]), _keys(other[start : ends[1]])))
            if hole is not None and hole.several:
                gap = one[start].gap if start < ends[0] else ""
                return (*one[:start], replace(hole, gap=gap), *one[ends[0] :])
    return None


def _hole(names: dict[tuple[str, str], Hole], key: tuple[str, str], hole: Hole) -> Hole:
    number = len(names)
    name = chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
    names[key] = replace(hole, name=name)
    return names[key]


def _keys(trees: Sequence[Tree]) -> str:
    # Not the key of any one tree: several nodes are another thing than one of them.
    return "\0".join(["several", *(tree.key for tree in trees)])


def _is_token(tree: Tree) -> bool:
    return isinstance(tree, Term) and not tree.named


def _several_at(trees: Sequence[Tree]) -> int | None:
    return next((i for i, tree in enumerate(trees) if isinstance(tree, Hole) and tree.several), None)


def _bracketed(trees: tuple[Tree, ...]) -> bool:
    return len(trees) >= 2 and _is_token(trees[0]) and _is_token(trees[-1])


def hierarchy(edits: Sequence[Edit], min_concreteness: int = 2) -> list[Cluster]:
    """All templates that merging the closest edits, again and again, gives: the edits themselves first.

    The closest are those whose template says most; merging ends where it would say less than `min_concreteness`
    on its left. The work grows with the square of the number of distinct edits.
    """
    members: dict[str, set[int]] = {}
    for position, edit in enumerate(edits):
        members.setdefault(edit.key, set()).add(position)
    clusters = [Cluster(edits[min(positions)], frozenset(positions)) for positions in members.values()]
    alive = set(range(len(clusters)))
    queue: list[tuple[int, int, int, Edit]] = []

    def compare(first: int, second: int) -> None:
        # The shorter text is the one a template is written like.
        ordered = sorted((first, second), key=lambda i: (len(written(clusters[i].template.left)), i))
        template = anti_unify(clusters[ordered[0]].template, clusters[ordered[1]].template)
        if template is not None and concreteness(template.left) >= min_concreteness:
            heapq.heappush(queue, (-_specificity(template), first, second, template))

    for second in range(len(clusters)):
        for first in range(second):
            compare(first, second)
    while queue:
        _, first, second, template = heapq.heappop(queue)
        if first not in alive or second not in alive:
            continue
        alive -= {first, second}
        clusters.append(Cluster(template, clusters[first].members | clusters[second].members))
        for cluster in alive:
            compare(cluster, len(clusters) - 1)
        alive.add(len(clusters) - 1)
    return clusters


def _specificity(template: Edit) -> int:
    # Of equally concrete templates, the one with fewer holes, and with kinds for them.
    left_holes = holes(template.left)
    return (
        16 * concreteness(template.left) - 2 * len(left_holes) + sum(bool(hole.kind) for hole in left_holes)
    )
