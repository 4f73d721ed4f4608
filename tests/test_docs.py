"""The documents are true: what they name exists, and what exists is named."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

import custodian.__main__
import signer.__main__
from custodian import config as custodian_config
from custodian import errors, events
from custodian.api import CALLS, PLAIN
from custodian.calls import ROOT as API
from custodian.connections import HEAD_SECONDS, PER_ADDRESS
from signer import config as signer_config
from signer import errors as signer_errors
from signer.api import PREFIX
from signer.issue import MAX_NAMES, MAX_NAMES_LENGTH

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
API_TEXT = (ROOT / "docs" / "api.md").read_text()
SECTIONS = set(re.findall(r"^### (.+)$", API_TEXT, re.MULTILINE))
COMMANDS = {"custodian": custodian.__main__.main, "signer": signer.__main__.main}
CFSSL = ("info", "newkey", "newcert", "sign", "authsign")


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def subclasses(kind):
    return {kind} | {each for child in kind.__subclasses__() for each in subclasses(child)}


def commands(text):
    """Return the commands of ours in the indented or fenced lines of a document, as lists of words."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = (line.removeprefix("$ ") for line in blocks.splitlines())
    found = (shlex.split(line, comments=True) for line in lines if line.split(" ", 1)[0] in COMMANDS)
    return [words[:-1] if words[-1] == "&" else words for words in found]


# --- the API


def routes():
    plain = {f"GET {path}" for path, _ in PLAIN}
    cfssl = {f"POST {PREFIX}{name}" for name in CFSSL} | {f"GET {PREFIX}health", "GET /status"}
    return {call.route for call in CALLS} | plain | cfssl


def test_every_route_has_a_section_and_every_section_a_route():
    known = {"Problems"}
    assert routes() | known == SECTIONS


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.route)
def test_a_section_says_who_may_and_shows_the_call(call):
    section = API_TEXT.split(f"### {call.route}\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    who = {"Without credentials", "For everyone with credentials", "For people"}
    who |= {f"For {role}" for role in ("admins", "owners", "signers", "auditors", "that signer")}
    who |= {"For the owner", "For the signer", "The same for one key"}
    assert section.strip().startswith(tuple(who)), section[:80]
    assert "$ curl" in section


def test_every_curl_of_the_document_is_a_call():
    """Verb and path of each example are those of a route."""
    for line in re.findall(r"^\$ curl (.*)$", API_TEXT, re.MULTILINE):
        words = shlex.split(line.partition("<<")[0])
        url = next(word for word in words if "_URL" in word)
        path = re.sub(r"^\$\w+_URL", "", url).partition("?")[0]
        verb = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
        patterns = {
            re.sub(r"\{\w+\}", "[^/]+", route if PREFIX in route or path[:4] != "/api" else with_root(route))
            for route in routes()
        }
        assert any(re.fullmatch(pattern, f"{verb} {path}") for pattern in patterns), line


def with_root(route):
    verb, _, path = route.partition(" ")
    return route if path.startswith(API) else f"{verb} {API}{path}"


def test_every_code_of_an_error_is_in_the_table():
    codes = {each.code for each in subclasses(errors.CustodianError)}
    assert codes | {"wrong-method"} == set(
        re.findall(r"^\| `([a-z-]+)` \| (?:\d|none)", API_TEXT, re.MULTILINE)
    )


def test_every_number_of_the_signer_is_in_the_table():
    for number in signer_errors.Number:
        assert re.search(rf"^\|[^|]*\b{int(number)}\b", API_TEXT, re.MULTILINE), number


# --- the history


def test_every_event_is_explained_with_its_fields():
    text = (ROOT / "docs" / "history.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|(.*)$", text, re.MULTILINE))
    models = {
        each.model_fields["type"].default: each
        for each in events._Closed.__subclasses__()
        if "type" in each.model_fields
    }
    assert set(rows) == set(models)
    for name, model in models.items():
        for field in set(model.model_fields) - {"type"}:
            assert f"`{field}`" in rows[name], (name, field)


# --- configuration


def settings(model, prefix=""):
    for name, field in model.model_fields.items():
        inner, name = field.annotation, field.alias or name  # noqa: PLW2901 - `from` is no name in Python
        nested = [each for each in (inner, *getattr(inner, "__args__", ())) if isinstance(each, type)]
        section = next((each for each in nested if issubclass(each, BaseModel)), None)
        section = section if getattr(inner, "__origin__", None) is not list else None
        yield from settings(section, f"{prefix}{name}.") if section else [f"{prefix}{name}"]


def written(table, prefix=""):
    for name, value in table.items():
        yield from (
            written(value, f"{prefix}{name}.") if value and isinstance(value, dict) else [f"{prefix}{name}"]
        )


@pytest.mark.parametrize(
    ("file", "model"),
    [("custodian.toml", custodian_config._Custodian), ("signer.toml", signer_config.Config)],
)
def test_an_example_shows_every_setting_and_can_be_read(file, model):
    example = tomllib.loads((ROOT / "config" / file).read_text())
    assert set(written(example)) == set(settings(model))
    model.model_validate(example)


@pytest.mark.parametrize(
    ("file", "model"),
    [("custodian.toml", custodian_config._Custodian), ("signer.toml", signer_config.Config)],
)
def test_an_example_shows_the_defaults(file, model):
    example = tomllib.loads((ROOT / "config" / file).read_text())
    required = {name: example[name] for name, field in model.model_fields.items() if field.is_required()}
    shown, left_out = model.model_validate(example), model.model_validate(required)
    for name in model.model_fields:
        if name not in required and name != "ca":
            a, b = (getattr(each, name) for each in (shown, left_out))
            update = {"processes": 0} if hasattr(a, "processes") else {}
            assert a == b if not update else a.model_copy(update=update) == b.model_copy(update=update)


# --- commands


@named([path for path in DOCUMENTS if commands(path.read_text())])
def test_every_command_exists_with_its_options(path):
    for words in commands(path.read_text()):
        command, context = COMMANDS[words[0]], click.Context(COMMANDS[words[0]])
        rest = words[1:]
        while isinstance(command, click.Group):
            assert rest[:1], words
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
            context = click.Context(command, parent=context)
        options = {option for each in command.get_params(context) for option in each.opts}
        used = {word.partition("=")[0] for word in rest if word.startswith("-")}
        assert used <= options, (words, used - options)


def test_help_of_every_command_works():
    def walk(command, words):
        assert CliRunner().invoke(COMMANDS[words[0]], [*words[1:], "--help"]).exit_code == 0, words
        for name, child in getattr(command, "commands", {}).items():
            walk(child, [*words, name])

    for name, command in COMMANDS.items():
        walk(command, [name])


# --- what is named exists


def names_of_tests(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@named(DOCUMENTS)
def test_every_test_that_is_named_exists(path):
    for file, name in re.findall(r"`(?:tests/)?([\w/]+\.py)::(test_\w+)`", path.read_text()):
        assert (ROOT / "tests" / file).exists(), file
        assert name in names_of_tests(ROOT / "tests" / file), (file, name)


def test_the_threat_model_names_tests_for_its_claims():
    text = (ROOT / "docs" / "threat-model.md").read_text()
    assert len(set(re.findall(r"`[\w/]+\.py::test_\w+`", text))) > 40


def test_the_threat_model_tells_the_limits_of_the_code():
    text = " ".join((ROOT / "docs" / "threat-model.md").read_text().split())
    assert f"at most {MAX_NAMES} names, {MAX_NAMES_LENGTH} characters in all" in text
    assert f"shut after {HEAD_SECONDS:.0f} seconds, and an address has {PER_ADDRESS} at most" in text


def test_what_is_known_and_left_is_said_plainly():
    text = (ROOT / "docs" / "threat-model.md").read_text()
    known = text.partition("\n## Known and left\n")[2].partition("\n## ")[0]
    for word in (
        "profile",
        "O and OU",
        "checkpoint",
        "cap",
        "not enforced",
        "One custodian",
        "resharing",
        "P-256",
    ):
        assert word.lower() in known.lower(), word


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@named(DOCUMENTS)
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), target


@named(DOCUMENTS)
def test_every_file_of_ours_that_is_named_exists(path):
    ours = r"`((?:scripts|config|docs|tests|custodian|signer)/(?![\w/]+/v1\b)[\w./-]+)(?:::\w+)?`"
    for name in re.findall(ours, path.read_text()):
        assert (ROOT / name).exists(), name


@named(sorted((ROOT / "docs" / "decisions").glob("*.md")))
def test_a_decision_has_its_three_parts_and_is_a_page(path):
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert text.startswith(f"# {path.name[:3]} ")
    assert len(text.splitlines()) <= 60
    assert "* **" in text  # at least one bad consequence


# --- the README


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_readme_names_what_the_demo_writes():
    text = (
        (ROOT / "scripts" / "demo.py").read_text().partition("def write_environment")[2].partition("def ")[0]
    )
    names = set(re.findall(r'"([A-Z_]+)": ', text))
    names |= {f"OWNER_PASSWORD_{name}" for name in ("ALICE", "BOB", "CAROL")}
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in (ROOT / "README.md").read_text(), name
