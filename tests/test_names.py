import pytest
from ca_in_memory import NOW, issue, issued, key_of, make_csr_pem, refusal, template_of

from signer import der
from signer.csr import parse_csr
from signer.errors import CfsslError
from signer.issue import prepare
from signer.names import (
    COMMON_NAME,
    EMAIL_ADDRESS,
    FIELDS,
    SERIAL_NUMBER,
    encode_subject,
    parse_host,
    parse_hosts,
    subject_of,
)


def written(subject: list[tuple[str, str]]) -> str:
    return issued({}, make_csr_pem(key_of("P-256"), subject)).subject.rfc4514_string({})


def test_a_subject_is_written_in_the_order_of_go():
    attributes = ["EMAIL", "UID", "CN", "OU", "O", "STREET", "L", "ST"]
    subject = [*((name, f"{name.lower()}@x.example") for name in attributes), ("C", "SE")]
    written = issued({}, make_csr_pem(key_of("P-256"), subject)).subject
    assert [attribute.oid.dotted_string for attribute in written] == [
        "2.5.4.6",
        "2.5.4.8",
        "2.5.4.7",
        "2.5.4.9",
        "2.5.4.10",
        "2.5.4.11",
        "2.5.4.3",
        "1.2.840.113549.1.9.1",
        "0.9.2342.19200300.100.1.1",
    ]


def test_several_values_share_one_rdn_but_the_last_common_name_wins():
    assert written([("CN", "one"), ("OU", "b"), ("CN", "two"), ("OU", "a"), ("OU", "b")]) == (
        "CN=two,OU=a+OU=b"
    )


def test_an_override_takes_what_it_leaves_out_from_the_csr():
    csr = parse_csr(make_csr_pem(key_of("P-256"), [("CN", "x"), ("O", "Acme"), ("UID", "7")]))
    wanted = {COMMON_NAME: ("other",)}
    certificate = issue(template_of({}), csr.override(hosts=None, subject=wanted))
    assert certificate.subject.rfc4514_string() == "CN=other,O=Acme"


def test_hosts_override_the_names_of_the_csr():
    csr = parse_csr(make_csr_pem(key_of("P-256")))
    template = template_of({})
    cleared = csr.override(hosts=(), subject=None)
    named = csr.override(hosts=parse_hosts(["10.0.0.1", "b.example", "b.example"]), subject=None)
    assert prepare(template, cleared, now=NOW, serial=1).names == ()
    assert prepare(template, named, now=NOW, serial=1).names == ("10.0.0.1", "b.example")


@pytest.mark.parametrize(
    ("subject", "at"),
    [
        ([("CN", "a" * 65)], "subject CN: is longer than 64"),
        ([("O", "a" * 65)], "subject O: is longer than 64"),
        ([("CN", "a\x00b")], "subject CN: holds a character"),
        ([("CN", "a\nb")], "subject CN: holds a character"),
        ([("CN", "a\u202eb")], "subject CN: holds a character"),
        ([("UID", "a" * 257)], "subject attribute: is longer"),
    ],
)
def test_junk_in_a_subject_is_refused(subject, at):
    number, detail = refusal({}, make_csr_pem(key_of("P-256"), subject))
    assert number == 9300
    assert detail.startswith(at)


@pytest.mark.parametrize(
    ("short", "value"),
    [("C", "USA"), ("C", "S1"), ("C", "åå"), ("serialnumber", "a_b"), ("E", "å@example.com")],
)
def test_attributes_of_one_fixed_form_take_no_other(short, value):
    identifier = FIELDS.get(short) or {"E": EMAIL_ADDRESS}.get(short, SERIAL_NUMBER)
    with pytest.raises(CfsslError, match=r"^subject ") as refused:
        encode_subject({identifier: (value,)})
    assert refused.value.number == 9300


@pytest.mark.parametrize(
    ("tag", "value", "accepted"),
    [(0x0C, "å".encode(), True), (0x1E, "å".encode("utf-16-be"), True), (0x14, b"x", False)],
)
def test_the_text_of_a_subject_may_be_in_the_encodings_of_unicode(tag, value, accepted):
    attribute = der.sequence(COMMON_NAME, der.tlv(tag, value))
    name = der.sequence(der.set_of(attribute))
    if accepted:
        assert subject_of(name) == {COMMON_NAME: ("å",)}
    else:
        with pytest.raises(CfsslError, match="is not text"):
            subject_of(name)


# Names of hosts.


@pytest.mark.parametrize(
    ("host", "tag"),
    [
        ("example.com", 0x82),
        ("localhost", 0x82),
        ("*.example.com", 0x82),
        ("xn--mnchen-3ya.de", 0x82),
        ("1.example", 0x82),
        ("a" * 63 + ".example", 0x82),
        ("10.1.2.3", 0x87),
        ("2001:db8::1", 0x87),
        ("bob@example.com", 0x81),
        ("https://example.com/path", 0x86),
        ("spiffe://example.com/web", 0x86),
        ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 0x86),
    ],
)
def test_a_host_is_told_apart(host, tag):
    san = parse_host(host, "hosts[0]")
    assert (san.tag, san.text) == (tag, host)


def test_an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address():
    assert parse_host("::ffff:10.1.2.3", "hosts[0]") == parse_host("10.1.2.3", "hosts[0]")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        " spaced.com",
        "a..b",
        ".a",
        "a.",
        "a b",
        "-a.example",
        "a-.example",
        "a" * 64 + ".example",
        ".".join(["a" * 50] * 6),
        "foo_bar.example",
        "*",
        "*.*.com",
        "a.*.com",
        "w*.example.com",
        "10.0.0.0/8",
        "10.0.0.256",
        "10.0.0",
        "010.0.0.1",
        "fe80::1%eth0",
        "localhost:8080",
        "/abs/path",
        "//x/y",
        "https://",
        "https:///path",
        "https://a b/",
        "https://user@host/",
        "Bob <bob@example.com>",
        "@example.com",
        "bob@",
        "bob@*.example.com",
        "bob@exa mple.com",
        "a@b@c",
        "münchen.de",
        "https://münchen.de/",
        "example.com\n",
        "example.com\x00",
        "a\u0131.example",
        "\uff41.example",
        "\u0661.example",
    ],
)
def test_junk_is_not_the_name_of_a_host(host):
    with pytest.raises(CfsslError) as refused:
        parse_hosts(["ok.example", host])
    assert refused.value.number == 9300
    assert refused.value.detail.startswith("hosts[1]: is not ")


def test_an_international_name_is_answered_with_how_to_write_it():
    with pytest.raises(CfsslError, match="xn--"):
        parse_hosts(["münchen.de"])
