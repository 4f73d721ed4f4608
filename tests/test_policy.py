import pytest
from examples import subsets
from hypothesis import given
from hypothesis import strategies as st

from custodian.errors import FormatError
from custodian.policy import MAX_DEPTH, MAX_MEMBERS, MAX_TEXT, Policy, parse_policy

NESTED = "2 of (alice, bob, 1 of (carol, dave))"
# policy -> the smallest sets of owners that satisfy it
QUORUMS = {
    "2 of (alice, bob, carol)": ["alice bob", "alice carol", "bob carol"],
    "3 of (alice, bob, carol)": ["alice bob carol"],
    "alice & bob": ["alice bob"],
    NESTED: ["alice bob", "alice carol", "alice dave", "bob carol", "bob dave"],
    "alice & (bob | carol)": ["alice bob", "alice carol"],
    "alice & bob | carol & dave": ["alice bob", "carol dave"],
    "1 of (2 of (alice, bob), 3 of (carol, dave, erin))": ["alice bob", "carol dave erin"],
    "2 of (2 of (alice, bob), 2 of (carol, dave))": ["alice bob carol dave"],
}


@pytest.mark.parametrize(("text", "quorums"), QUORUMS.items(), ids=QUORUMS)
def test_every_subset_of_the_owners_is_judged_right(text, quorums):
    policy = parse_policy(text)
    smallest = [frozenset(quorum.split()) for quorum in quorums]
    for owners in subsets(list(policy.owners())):
        enough = any(quorum <= set(owners) for quorum in smallest)
        assert policy.met_by(owners) is enough
        assert (policy.choose(owners) is not None) is enough
        assert policy.still_needed(owners) == min(len(quorum - set(owners)) for quorum in smallest)


@pytest.mark.parametrize("text", QUORUMS)
def test_a_choice_is_a_smallest_quorum_of_those_available(text):
    policy = parse_policy(text)
    for owners in subsets(list(policy.owners())):
        chosen = policy.choose(owners)
        if chosen is not None:
            assert chosen <= set(owners)
            assert len(chosen) == min(len(each) for each in subsets(owners) if policy.met_by(each))


def test_a_choice_takes_those_who_stand_first():
    policy = parse_policy("2 of (alice, bob, carol)")
    assert policy.choose(["carol", "bob", "alice"]) == {"carol", "bob"}
    assert parse_policy("alice & bob | carol & dave").choose(["dave", "carol", "bob", "alice"]) == {
        "carol",
        "dave",
    }


def test_a_choice_takes_a_small_group_before_a_large_one():
    policy = parse_policy("2 of (alice, bob) | 3 of (carol, dave, erin)")
    assert policy.choose(["carol", "dave", "erin", "alice", "bob"]) == {"alice", "bob"}


def test_those_who_could_help_are_the_ones_whose_agreement_counts():
    policy = parse_policy(NESTED)
    assert policy.could_help([]) == ("alice", "bob", "carol", "dave")
    assert policy.could_help(["carol"]) == ("alice", "bob")
    assert policy.could_help(["alice"]) == ("bob", "carol", "dave")
    assert policy.could_help(["alice", "dave"]) == ()


def test_strangers_count_for_nothing():
    policy = parse_policy("2 of (alice, bob, carol)")
    assert not policy.met_by(["alice", "mallory", "trudy"])
    assert policy.still_needed(["mallory", "trudy"]) == 2


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2of(a,b)", "2 of (a, b)"),
        ("  2 of\n(a,\tb)  ", "2 of (a, b)"),
        ("a & b & c", "3 of (a, b, c)"),
        ("a & b | c & d", "1 of (2 of (a, b), 2 of (c, d))"),
        ("a & (b | c)", "2 of (a, 1 of (b, c))"),
        ("((a & b))", "2 of (a, b)"),
        ("2 of (a | b, c & d)", "2 of (1 of (a, b), 2 of (c, d))"),
        ("2 of (of, bob)", "2 of (of, bob)"),
    ],
)
def test_a_policy_has_one_canonical_text(text, canonical):
    assert str(parse_policy(text)) == canonical
    assert str(parse_policy(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends where"),
        ("   ", "ends where"),
        ("2 of (a, b", "ends where"),
        ("2 of (a, b))", "goes on after its end"),
        ("2 of (a, b) 2 of (c, d)", "goes on after its end"),
        ("2 of (a b)", "needs '\\)'"),
        ("2 of (a,, b)", "must be 1 to 63"),
        ("2 of ()", "must be 1 to 63"),
        ("2 (a, b)", "needs 'of'"),
        ("2 of a, b", "needs '\\('"),
        ("a &", "ends where"),
        ("& a", "must be 1 to 63"),
        ("a && b", "must be 1 to 63"),
        ("Alice & bob", "unexpected 'A'"),
        ("a & b;", "unexpected ';'"),
        ("2 of (a,\u00a0b)", "unexpected"),
        ("\u0662 of (a, b)", "unexpected"),
        ("alic\u00e9 & bob", "unexpected"),
        ("a & " + "b" * 64, "must be 1 to 63"),
        ("2 of (a, b, a)", "names a twice"),
        ("2 of (a, b, 2 of (c, a))", "names a twice"),
        ("3 of (a, b)", "asks for 3 of 2"),
        ("0 of (a, b)", "asks for 0"),
        ("02 of (a, b)", "asks for 02"),
        ("0000000020 of (a, b)", "asks for 0"),
        ("2000 of (a, b)", "asks for 2000"),
        ("a", "lets one owner"),
        ("a | b & c", "lets one owner"),
        ("1 of (a, b)", "lets one owner"),
        ("1 of (2 of (a, b), c)", "lets one owner"),
        ("a & b" + " " * 16_384, "longer than"),
    ],
)
def test_what_is_not_a_policy_is_refused_with_the_reason(text, reason):
    with pytest.raises(FormatError, match=f"^policy: .*{reason}"):
        parse_policy(text)


def test_a_group_has_at_most_255_members():
    names = [f"a{number}" for number in range(MAX_MEMBERS + 1)]
    assert parse_policy(f"2 of ({', '.join(names[:MAX_MEMBERS])})").needed == 2
    with pytest.raises(FormatError, match="more than 255"):
        parse_policy(f"2 of ({', '.join(names)})")
    with pytest.raises(FormatError, match="more than 255"):
        parse_policy(" & ".join(names))


def nested(depth: int, text: str = "a & b") -> str:
    for level in range(depth - 1):
        text = f"2 of ({text}, x{level})"
    return text


def test_nesting_ends_at_the_limit():
    assert parse_policy(nested(MAX_DEPTH)).depth() == MAX_DEPTH
    for text in (nested(MAX_DEPTH + 1), "(" * 9 + "a & b" + ")" * 9, "(" * 5000 + "a"):
        with pytest.raises(FormatError, match="nested deeper"):
            parse_policy(text)


def test_sugar_cannot_say_what_the_canonical_text_cannot():
    """An envelope holds the canonical text: a policy that only its sugar can say would be lost."""
    text = "a & b | c & d"
    for level in range(5):
        text = f"({text}) & x{level} | y{level} & z{level}"
    with pytest.raises(FormatError, match="nested deeper"):
        parse_policy(text)
    pairs = "|".join(f"a{n}&b{n}" for n in range(250))
    groups = [pairs.replace("a", chr(99 + 2 * i)).replace("b", chr(100 + 2 * i)) for i in range(6)]
    many = " & ".join(f"({group})" for group in groups)
    assert len(many) < MAX_TEXT
    with pytest.raises(FormatError, match="longer than"):
        parse_policy(many)


def policies(names: list[str], depth: int = 3) -> st.SearchStrategy[Policy]:
    """Policies over all of `names`, in their order."""

    @st.composite
    def draw_policy(draw: st.DrawFn, names: list[str], depth: int) -> Policy:
        members: list[Policy | str] = []
        rest = list(names)
        while rest:
            size = draw(st.integers(1, len(rest)))
            part, rest = rest[:size], rest[size:]
            if depth > 1 and size < len(names) and draw(st.booleans()):
                members.append(draw(draw_policy(part, depth - 1)))
            else:
                members += part
        return Policy(draw(st.integers(1, len(members))), tuple(members))

    return draw_policy(names, depth)


@given(policies(["alice", "bob", "carol", "dave", "erin", "frank"]))
def test_text_reads_back_what_it_wrote(policy):
    if policy.still_needed(()) < 2:
        with pytest.raises(FormatError, match="one owner"):
            parse_policy(str(policy))
    else:
        assert parse_policy(str(policy)) == policy


@given(st.text("ab12of (),&|", max_size=40))
def test_any_text_is_a_policy_or_refused(text):
    try:
        policy = parse_policy(text)
    except FormatError:
        return
    assert parse_policy(str(policy)) == policy
