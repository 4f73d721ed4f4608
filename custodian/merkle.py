"""The Merkle tree of the history: what makes a changed or missing entry show.

The tree is that of RFC 6962 section 2.1 (RFC 9162 section 2.1). Two small facts carry the design:
the hash of a complete subtree never changes, so it may be stored for ever and `Reader` can ask for
it by name; and the peaks of the complete subtrees (`Frontier`) are all an append has to know.

Provers follow the recursive definition of the RFC; verifiers are the loops of RFC 9162. They share
no code, so that a mistake in one does not hide in the other.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from custodian.errors import Untrusted

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
TILE_HEIGHT = 8  # C2SP tlog-tiles: a tile is 2^8 hashes wide
TILE_WIDTH = 1 << TILE_HEIGHT

# `read(level, index)` is the root of the complete subtree over the 2^level entries that start at
# entry index * 2^level; level 0 is the leaf hash of entry `index`.
Reader = Callable[[int, int], bytes]
# `read_row(level, first, count)` is `count` such hashes side by side, as a tile holds them.
RowReader = Callable[[int, int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Node:
    """The root of one complete subtree, by the name `Reader` asks for it."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """A tree head: the number of entries and the 32-byte root over exactly those."""

    size: int
    root: bytes


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The growing edge of a tree: the roots of its complete subtrees, the largest (oldest) first.

    There is one peak for each 1 in the binary form of `size`; `size` and `peaks` are all that has
    to be kept to append again.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.peaks) != self.size.bit_count():
            raise ValueError("a frontier has one peak for each 1 in the binary form of its size")

    @classmethod
    def restore(cls, size: int, read: Reader) -> "Frontier":
        """Return the frontier of the first `size` entries of a stored tree."""
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return cls(size, tuple(read(level, (size >> level) - 1) for level in levels))

    @property
    def head(self) -> Head:
        if not self.peaks:
            return Head(0, EMPTY_ROOT)
        root = reduce(lambda right, left: node_hash(left, right), reversed(self.peaks))
        return Head(self.size, root)

    def completes(self, leaf: bytes) -> tuple[Node, ...]:
        """Return the subtrees that are complete once `leaf` is appended and were not before.

        The lowest comes first, the leaf itself. A store by tiles keeps those whose level is a
        multiple of `TILE_HEIGHT`.
        """
        nodes = [Node(0, self.size, leaf)]
        for left in reversed(self.peaks):
            right = nodes[-1]
            if right.index % 2 == 0:
                break
            nodes.append(Node(right.level + 1, right.index // 2, node_hash(left, right.hash)))
        return tuple(nodes)

    def append(self, leaf: bytes) -> "Frontier":
        """Return the frontier with the entry whose leaf hash is `leaf` added at the end."""
        top = self.completes(leaf)[-1]
        kept = self.peaks[: len(self.peaks) - top.level]
        return Frontier(self.size + 1, (*kept, top.hash))


def tile_reader(read_row: RowReader) -> Reader:
    """Return a `Reader` over a store that has only the levels 0, 8, 16, … of the tree.

    The levels between are hashed when asked for, from at most half a tile.
    """

    def read(level: int, index: int) -> bytes:
        inside = level % TILE_HEIGHT
        row = read_row(level - inside, index << inside, 1 << inside)
        while len(row) > 1:
            row = [node_hash(*row[i : i + 2]) for i in range(0, len(row), 2)]
        return row[0]

    return read


def inclusion_proof(read: Reader, index: int, size: int) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf's sibling upwards."""
    if not 0 <= index < size:
        raise ValueError("only an entry of the tree has an inclusion proof")
    return _path(read, index, 0, size)


def consistency_proof(read: Reader, old: int, new: int) -> list[bytes]:
    """Return PROOF(old, D[new]) of RFC 6962 section 2.1.2; empty for the sizes 0 and `new`."""
    if not 0 <= old <= new:
        raise ValueError("only an earlier size has a consistency proof")
    return _subproof(read, old, (0, new), known=True) if old else []


def verify_inclusion(head: Head, index: int, leaf: bytes, proof: Sequence[bytes]) -> None:
    """Raise Untrusted unless `leaf` is the hash of entry `index` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < head.size:
        raise Untrusted("the entry is not among those the checkpoint counts")
    node, last, root = index, head.size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Untrusted("the inclusion proof is longer than the tree is high")
        if node % 2 or node == last:
            root = node_hash(sibling, root)
            node, last = _skip_missing_siblings(node, last)
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    if last or root != head.root:
        raise Untrusted("the entry is not in the history that the checkpoint signs")


def verify_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    """Raise Untrusted unless `new` only adds entries to `old` (RFC 9162 section 2.1.4.2)."""
    if new.size < old.size:
        raise Untrusted(f"the history has {new.size} entries but had {old.size} before")
    if old.size in (0, new.size):
        expected = new.root if old.size else EMPTY_ROOT
        consistent = not proof and old.root == expected
    else:
        consistent = _roots(old, new.size, proof) == (old.root, new.root)
    if not consistent:
        raise Untrusted(f"the history was rewritten within its first {old.size} entries")


def _roots(old: Head, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the old and the new root that `proof` leads to, None where its length is wrong."""
    path = [old.root, *proof] if old.size.bit_count() == 1 else list(proof)
    node, last = old.size - 1, size - 1
    while node % 2:
        node, last = node >> 1, last >> 1
    if not path:
        return None
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node % 2 or node == last:
            old_root, new_root = node_hash(sibling, old_root), node_hash(sibling, new_root)
            node, last = _skip_missing_siblings(node, last)
        else:
            new_root = node_hash(new_root, sibling)
        node, last = node >> 1, last >> 1
    return None if last else (old_root, new_root)


def _skip_missing_siblings(node: int, last: int) -> tuple[int, int]:
    """Climb the right edge of the tree to the next level where the node has a left sibling."""
    while node and node % 2 == 0:
        node, last = node >> 1, last >> 1
    return node, last


def _path(read: Reader, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = _split(start, end)
    if index < middle:
        return [*_path(read, index, start, middle), _root(read, middle, end)]
    return [*_path(read, index, middle, end), _root(read, start, middle)]


def _subproof(read: Reader, old: int, span: tuple[int, int], *, known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 over `span`; `known` says that the verifier has the root of it."""
    start, end = span
    if old == end:
        return [] if known else [_root(read, start, end)]
    middle = _split(start, end)
    if old <= middle:
        return [*_subproof(read, old, (start, middle), known=known), _root(read, middle, end)]
    return [*_subproof(read, old, (middle, end), known=False), _root(read, start, middle)]


def _root(read: Reader, start: int, end: int) -> bytes:
    """MTH of RFC 6962 over the entries from `start` up to `end`; complete subtrees are read."""
    level = (end - start).bit_length() - 1
    if end - start == 1 << level:
        return read(level, start >> level)
    middle = _split(start, end)
    return node_hash(_root(read, start, middle), _root(read, middle, end))


def _split(start: int, end: int) -> int:
    """Return `start` plus the largest power of two smaller than the number of entries."""
    return start + (1 << ((end - start - 1).bit_length() - 1))
