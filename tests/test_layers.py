"""The import direction is part of the design: an upward import, a cycle or a clock in the core fails here.

A module may import only modules that stand above it in its table, and the pure ones only pure ones.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What decides and what is written: no I/O, no clock, no randomness, no logging, no environment.
CUSTODIAN_PURE = [
    "errors",
    "wiping",  # touches nothing but the buffer it is given
    "encoding",
    "fields",
    "checkwords",
    "site",
    "statements",
    "joining",
    "merkle",
    "note",
    "checkpoint",
    "policy",
    "sealing",
    "identity",
    "webauthn",
    "sshsig",
    "shares",
    "envelope",
    "terms",
    "petition",
    "quorum",
    "slots",
    "lending",
    "events",
    "evidence",
    "devicekey",
    "wire",
    "wire_requests",
    "wire_slots",
    "tbs",
    "telling",
    "notify.receivers",
    "notify.messages",
    "spreadsheet",
]
# What shuts a process in that holds a secret.
CUSTODIAN_HARDENING = [
    "linux",
    "landlock",
    "seccomp",
    "secretheap",
    "scrubbing",
    "hardening",
    "keyholder",
]
# How any of our listeners treats its connections.
CUSTODIAN_SHARED_SHELL = ["connections"]
# The one place with state, and the shell around it.
CUSTODIAN_SHELL = [
    "store",
    "notices",
    "keys",
    "delegations",
    "ending",
    "accounts",
    "sessions",
    "ownerslots",
    "signers",
    "records",
    "leases",
    "requests",
    "asking",
    "answering",
    "granting",
    "proofs",
    "notify.settings",
    "config",
    "tls",
    "metrics",
    "notify.smtp",
    "notify.sending",
    "notify.trial",
    "opener",
    "openers",
    "turns",
    "viewers",
    "service",
    "notify.delivery",
    "history",
    "callers",
    "outlook",
    "views",
    "request_views",
    "snapshot",
    "calls",
    "news",
    "probes",
    "handlers.people",
    "handlers.signers",
    "handlers.keys",
    "handlers.lending",
    "handlers.requests",
    "handlers.leasing",
    "handlers.history",
    "handlers.live",
    "handlers.sessions",
    "handlers.slots",
    "api",
    "init",
    "brokenhttp",
    "web.words",
    "web.asked",
    "web.dial",
    "web.reading",
    "web.guard",
    "web.statics",
    "web.render",
    "web.page",
    "web.signing_in",
    "web.requests",
    "web.quorum",
    "web.delegations",
    "web.me",
    "web.timeline",
    "web.history",
    "web.enrolling",
    "web.ceremony",
    "web.endings",
    "web.setup",
    "web.pages",
    "app",
    "client",
    "commands.sshkeys",
    "commands.signing",
    "commands.devices",
    "commands.material",
    "commands.shown",
    "commands.wishes",
    "commands.granting",
    "commands.grantfiles",
    "commands.asking",
    "commands.people",
    "commands.keys",
    "commands.lending",
    "commands.requests",
    "commands.grants",
    "commands.slots",
    "commands.history",
    "__main__",
]
SIGNER_PURE = [
    "errors",
    "der",
    "algorithms",
    "usages",
    "fields",
    "names",
    "csr",
    "profile",
    "issuer",
    "issue",
]
SIGNER_SHELL = [
    "newkey",
    "keys",
    "cfssl",
    "client",
    "journal",
    "witness",
    "frames",
    "holders",
    "borrowed",
    "records",
    "ceremony",
    "rehearsal",
    "broker",
    "authority",
    "custody",
    "desk",
    "config",
    "api",
    "app",
    "asking",
    "enrolment",
    "__main__",
]

TABLES = {
    "custodian": CUSTODIAN_PURE + CUSTODIAN_HARDENING + CUSTODIAN_SHARED_SHELL + CUSTODIAN_SHELL,
    "signer": SIGNER_PURE + SIGNER_SHELL,
}
PURE = {
    *(f"custodian.{name}" for name in CUSTODIAN_PURE),
    *(f"signer.{name}" for name in SIGNER_PURE),
}
# Signer and custodian are two programs: they meet in formats, wire models, hardening and listening only.
SHARED = {f"custodian.{name}" for name in CUSTODIAN_PURE + CUSTODIAN_HARDENING + CUSTODIAN_SHARED_SHELL}

EFFECTS = {
    "aiohttp",
    "asyncio",
    "atexit",
    "builtins",
    "concurrent",
    "fcntl",
    "glob",
    "http",
    "importlib",
    "io",
    "logging",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "platform",
    "pwd",
    "queue",
    "random",
    "resource",
    "sched",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "syslog",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "warnings",
}
CLOCKS = {"now", "utcnow", "today"}
EFFECTIVE_CALLS = {"open", "print", "input", "eval", "exec", "breakpoint"}


def modules() -> dict[str, Path]:
    """Return every module of the two packages by its dotted name, `__init__` left out."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in TABLES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py"
    }


MODULES = modules()
EVERY_MODULE = pytest.mark.parametrize("module", MODULES)
EVERY_PURE_MODULE = pytest.mark.parametrize("module", sorted(PURE & MODULES.keys()))


def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imported(nodes: ast.AST) -> Iterator[str]:
    """Yield the dotted name of every module that is imported anywhere below `nodes`."""
    for node in ast.walk(nodes):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = "." * node.level + (node.module or "")
            inside = [f"{whole}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else whole for name in inside)


def own_imports(module: str) -> list[str]:
    return [name for name in imported(tree(module)) if name.split(".")[0] in {*TABLES, ""}]


def rank(module: str) -> int:
    """Return the place of a module in its table; one without a place has failed already."""
    package, _, name = module.partition(".")
    return TABLES[package].index(name) if name in TABLES[package] else -1


@EVERY_MODULE
def test_every_module_has_its_place(module):
    package, _, name = module.partition(".")
    assert name in TABLES[package], (
        f"place {name!r} in the table of {package!r} in tests/test_layers.py, below everything that it "
        "imports; in the pure part if it does no I/O and asks no clock"
    )


@pytest.mark.parametrize("package", TABLES)
def test_no_module_has_two_places(package):
    assert len(set(TABLES[package])) == len(TABLES[package])


@EVERY_MODULE
def test_imports_point_one_way(module):
    for name in own_imports(module):
        assert name in MODULES, f"{module} imports {name}; import the module by its full name"
        if name.split(".")[0] == module.split(".")[0] and rank(module) >= 0:
            assert rank(name) < rank(module), f"{module} imports {name}, which stands below it"


@EVERY_MODULE
def test_the_signer_shares_formats_wire_models_and_hardening_with_the_custodian_and_nothing_else(module):
    for name in own_imports(module):
        if module.startswith("custodian."):
            assert name.startswith("custodian."), f"{module} imports {name}: the custodian knows no signer"
        elif name.startswith("custodian."):
            assert name in SHARED, f"{module} imports {name}, which is the custodian's own"


@EVERY_PURE_MODULE
def test_pure_modules_import_pure_modules_only(module):
    assert [name for name in own_imports(module) if name not in PURE] == []


@EVERY_PURE_MODULE
def test_pure_modules_have_no_effects(module):
    used = {name.split(".")[0] for name in imported(tree(module))}
    assert used & EFFECTS == set()
    assert "ctypes" not in used or module == "custodian.wiping"
    called = {
        node.func.id
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & EFFECTIVE_CALLS == set()


@EVERY_PURE_MODULE
def test_pure_modules_never_ask_the_time(module):
    asked = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert asked & CLOCKS == set()


@EVERY_MODULE
def test_imports_stand_at_the_top(module):
    """Only the commands may put off an import, so that `--help` does not wait for all of them."""
    if module.endswith("__main__") or ".commands." in module:
        return
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            assert list(imported(node)) == [], f"{module}:{node.lineno} imports in a body"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in {"__import__", "importlib.import_module", "import_module"}, (
                f"{module}:{node.lineno}"
            )


@EVERY_MODULE
def test_shipped_code_has_no_assert(module):
    """`python -O` drops it; what must hold is raised."""
    found = [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.Assert)]
    assert found == [], f"{module} asserts in lines {found}"


@pytest.mark.parametrize("package", TABLES)
def test_importing_a_package_imports_nothing(package):
    for path in (ROOT / package).rglob("__init__.py"):
        assert list(imported(ast.parse(path.read_text()))) == [], path
