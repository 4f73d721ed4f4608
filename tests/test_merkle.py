"""The tree against the definition of RFC 6962, and every proof against every small lie."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from custodian.errors import Untrusted
from custodian.merkle import (
    EMPTY_ROOT,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    Head,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tile_reader,
    verify_consistency,
    verify_inclusion,
)

# The eight entries and roots that Certificate Transparency implementations test with.
KNOWN_ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SMALL = range(71)
EDGES = (127, 128, 129, 255, 256, 257, 511, 512, 513, 767, 1000, 1024)
FAR_EDGES = (65_535, 65_536, 65_537, 65_792, 65_793)


class MemoryTiles:
    """A store that keeps what tlog-tiles keeps: only the levels 0, 8, 16, … of the tree."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.rows: dict[int, list[bytes]] = {}
        self.heads = [Head(0, EMPTY_ROOT)]
        self.read = tile_reader(self.read_row)
        frontier = Frontier()
        for entry in entries:
            leaf = leaf_hash(entry)
            for node in frontier.completes(leaf):
                if node.level % TILE_HEIGHT == 0:
                    self.rows.setdefault(node.level, []).append(node.hash)
            frontier = frontier.append(leaf)
            self.heads.append(frontier.head)

    def read_row(self, level: int, first: int, count: int) -> list[bytes]:
        row = self.rows[level][first : first + count]
        assert len(row) == count
        return row


def entry(index: int) -> bytes:
    return b"entry %d" % index


@pytest.fixture(scope="module")
def tree() -> MemoryTiles:
    return MemoryTiles([entry(index) for index in range(FAR_EDGES[-1])])


def root_by_definition(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n]) of RFC 6962 section 2.1, word for word."""
    if len(entries) < 2:
        return hashlib.sha256(b"\x00" + entries[0] if entries else b"").digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    left, right = root_by_definition(entries[:k]), root_by_definition(entries[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def flips(hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    for at, each in enumerate(hashes):
        for bit in range(256):
            changed = (int.from_bytes(each) ^ 1 << bit).to_bytes(32)
            yield [*hashes[:at], changed, *hashes[at + 1 :]]


def accepts_inclusion(head: Head, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    try:
        verify_inclusion(head, index, leaf, proof)
    except Untrusted:
        return False
    return True


def accepts_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> bool:
    try:
        verify_consistency(old, new, proof)
    except Untrusted:
        return False
    return True


def test_the_roots_are_those_that_certificate_transparency_knows():
    heads = MemoryTiles(KNOWN_ENTRIES).heads
    assert [head.root.hex() for head in heads] == KNOWN_ROOTS
    assert [head.size for head in heads] == list(range(9))


def test_the_root_is_the_one_the_rfc_defines_at_every_size(tree):
    for size in (*SMALL, *EDGES):
        expected = root_by_definition([entry(index) for index in range(size)])
        assert tree.heads[size] == Head(size, expected)


def test_a_leaf_is_never_a_node():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


def test_a_frontier_restored_from_tiles_is_the_one_that_was_appended_to(tree):
    frontier = Frontier()
    for size in range(600):
        assert Frontier.restore(size, tree.read) == frontier
        assert Frontier(size, frontier.peaks) == frontier
        frontier = frontier.append(leaf_hash(entry(size)))
    for size in FAR_EDGES:
        assert Frontier.restore(size, tree.read).head == tree.heads[size]


def test_every_subtree_is_completed_exactly_once():
    frontier, seen = Frontier(), Counter()
    for index in range(1024):
        leaf = leaf_hash(entry(index))
        seen.update((node.level, node.index) for node in frontier.completes(leaf))
        frontier = frontier.append(leaf)
    assert seen == Counter((level, n) for level in range(11) for n in range(1024 >> level))


def test_a_store_by_tiles_keeps_one_hash_for_each_256_of_the_level_below(tree):
    assert {level: len(row) for level, row in tree.rows.items()} == {0: 65_793, 8: 257, 16: 1}
    assert tree.rows[8][0] == tree.heads[TILE_WIDTH].root
    assert tree.rows[16][0] == tree.heads[TILE_WIDTH**2].root


def test_a_frontier_with_the_wrong_number_of_peaks_cannot_be_made():
    with pytest.raises(ValueError, match="one peak"):
        Frontier(3, (bytes(32),))


def test_every_entry_of_every_small_tree_has_a_proof_for_its_own_index_only(tree):
    for size in SMALL:
        for index in range(size):
            proof = inclusion_proof(tree.read, index, size)
            leaf = leaf_hash(entry(index))
            accepted = [
                other
                for other in range(-1, size + 2)
                if accepts_inclusion(tree.heads[size], other, leaf, proof)
            ]
            assert accepted == [index]


@pytest.mark.parametrize("size", [*EDGES, *FAR_EDGES])
def test_entries_at_the_edges_of_tiles_have_proofs(tree, size):
    for index in {0, 1, 127, 128, 255, 256, 257, size // 2, size - 2, size - 1}:
        if index < size:
            proof = inclusion_proof(tree.read, index, size)
            verify_inclusion(tree.heads[size], index, leaf_hash(entry(index)), proof)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (4, 7), (6, 7), (11, 16), (16, 17), (200, 257)])
def test_an_inclusion_proof_with_one_bit_changed_is_refused(tree, index, size):
    head, leaf = tree.heads[size], leaf_hash(entry(index))
    proof = inclusion_proof(tree.read, index, size)
    assert not any(accepts_inclusion(head, index, leaf, changed) for changed in flips(proof))
    assert not any(accepts_inclusion(head, index, changed, proof) for (changed,) in flips([leaf]))
    assert not any(
        accepts_inclusion(Head(size, changed), index, leaf, proof) for (changed,) in flips([head.root])
    )


def test_an_inclusion_proof_of_another_length_is_refused(tree):
    for size in SMALL:
        for index in range(size):
            proof = inclusion_proof(tree.read, index, size)
            head, leaf = tree.heads[size], leaf_hash(entry(index))
            shorter = [proof[:length] for length in range(len(proof))]
            longer = [[*proof, bytes(32)], [*proof, leaf], [leaf, *proof]]
            for changed in (*shorter, *longer):
                assert not accepts_inclusion(head, index, leaf, changed)


def test_an_inner_node_cannot_be_shown_as_an_entry(tree):
    proof = inclusion_proof(tree.read, 5, 8)
    parent = tree.read(1, 2)
    for index in range(8):
        assert not accepts_inclusion(tree.heads[8], index, parent, proof[1:])


def test_every_small_tree_is_consistent_with_every_smaller_one(tree):
    for new in SMALL:
        for old in range(new + 1):
            proof = consistency_proof(tree.read, old, new)
            verify_consistency(tree.heads[old], tree.heads[new], proof)


@pytest.mark.parametrize("new", [*EDGES, *FAR_EDGES])
def test_trees_at_the_edges_of_tiles_are_consistent(tree, new):
    for old in {0, 1, 2, 255, 256, 257, 511, 512, new // 2, new - 1, new}:
        if old <= new:
            proof = consistency_proof(tree.read, old, new)
            verify_consistency(tree.heads[old], tree.heads[new], proof)


def test_a_consistency_proof_fits_no_other_pair_of_sizes(tree):
    proof = consistency_proof(tree.read, 6, 13)
    fitting = [
        (old, new)
        for old in range(1, 20)
        for new in range(20)
        if accepts_consistency(tree.heads[old], tree.heads[new], proof)
    ]
    assert fitting == [(6, 13)]


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (4, 7), (6, 8), (8, 16), (255, 257)])
def test_a_consistency_proof_with_one_bit_changed_is_refused(tree, old, new):
    before, after = tree.heads[old], tree.heads[new]
    proof = consistency_proof(tree.read, old, new)
    assert not any(accepts_consistency(before, after, changed) for changed in flips(proof))
    for (root,) in flips([before.root]):
        assert not accepts_consistency(Head(old, root), after, proof)
    for (root,) in flips([after.root]):
        assert not accepts_consistency(before, Head(new, root), proof)


def test_a_consistency_proof_of_another_length_is_refused(tree):
    for new in SMALL:
        for old in range(new + 1):
            proof = consistency_proof(tree.read, old, new)
            shorter = [proof[:length] for length in range(len(proof))]
            longer = [[*proof, bytes(32)], [tree.heads[old].root, *proof]]
            for changed in (*shorter, *longer):
                assert not accepts_consistency(tree.heads[old], tree.heads[new], changed)


@pytest.mark.parametrize("forged", range(9))
def test_a_history_with_one_earlier_entry_changed_has_no_consistency_proof(tree, forged):
    entries = [entry(index) for index in range(20)]
    entries[forged] = b"forgery"
    fork = MemoryTiles(entries)
    for new in range(9, 21):
        proof = consistency_proof(fork.read, 9, new)
        assert not accepts_consistency(tree.heads[9], fork.heads[new], proof)


def test_a_history_never_gets_shorter(tree):
    for new in range(9):
        for proof in ([], consistency_proof(tree.read, new, 9)):
            assert not accepts_consistency(tree.heads[9], tree.heads[new], proof)


def test_a_log_that_signs_a_wrong_size_is_caught_by_the_length_of_the_proof(tree):
    """Such a log signs any root it likes, so only the number of hashes can give it away."""
    leaf, extra = leaf_hash(b"leaf"), bytes(32)
    assert not accepts_inclusion(Head(1, node_hash(extra, leaf)), 0, leaf, [extra])

    left, third, fourth = (leaf_hash(each) for each in (b"left", b"third", b"fourth"))
    three, four = node_hash(left, third), node_hash(left, node_hash(third, fourth))
    assert accepts_consistency(Head(3, three), Head(4, four), [third, fourth, left])
    taller = Head(3, node_hash(extra, three)), Head(4, node_hash(extra, four))
    assert not accepts_consistency(*taller, [third, fourth, left, extra])

    lower = consistency_proof(tree.read, 1, 2)
    assert not accepts_consistency(tree.heads[1], Head(8, tree.heads[2].root), lower)


def test_nothing_follows_an_empty_history_that_is_not_empty(tree):
    assert accepts_consistency(tree.heads[0], tree.heads[3], [])
    assert not accepts_consistency(Head(0, bytes(32)), tree.heads[3], [])
    assert not accepts_consistency(Head(0, bytes(32)), Head(0, bytes(32)), [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_only_an_entry_of_the_tree_can_be_proved(tree, index, size):
    with pytest.raises(ValueError, match="only an entry"):
        inclusion_proof(tree.read, index, size)


@pytest.mark.parametrize(("old", "new"), [(4, 3), (-1, 3)])
def test_only_an_earlier_size_can_be_proved(tree, old, new):
    with pytest.raises(ValueError, match="only an earlier size"):
        consistency_proof(tree.read, old, new)


def test_proofs_read_only_complete_subtrees_of_the_size_they_are_for(tree):
    def read_from_seven(level: int, index: int) -> bytes:
        assert (index + 1) << level <= 7
        return tree.read(level, index)

    for at in range(7):
        inclusion_proof(read_from_seven, at, 7)
        consistency_proof(read_from_seven, at + 1, 7)
