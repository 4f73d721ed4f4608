"""Plant one bug after another in the pure core and see its tests catch it.

    scripts/mutants            all of them, in about two minutes
    scripts/mutants quorum     those of one module

Each bug is one replaced piece of text in a copy of the tree. A bug that the module's own tests do not
notice is a clause without a test, and the command fails.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from mutants import MUTANTS, Mutant  # noqa: E402


def tests_of(module: str, tree: Path) -> int:
    """Run the module's tests in `tree`; return pytest's exit code."""
    tests = sorted(str(path) for path in tree.glob(f"tests/test_{module}*.py"))
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=tree, capture_output=True, check=False, timeout=120).returncode


def verdict(mutant: Mutant, tree: Path) -> str:
    """Return `killed`, `SURVIVED`, or why the mutant is none."""
    source = tree / "custodian" / f"{mutant.module}.py"
    original = source.read_text()
    if original.count(mutant.old) != 1:
        return f"NO MUTANT: its text is there {original.count(mutant.old)} times"
    source.write_text(original.replace(mutant.old, mutant.new))
    try:
        ended = tests_of(mutant.module, tree)
    finally:
        source.write_text(original)
    return {0: "SURVIVED", 1: "killed"}.get(ended, "NO MUTANT: the tests did not start")


def main() -> int:
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.module in sys.argv[1:]]
    killed = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for part in ("custodian", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        for module in sorted({mutant.module for mutant in chosen}):
            if tests_of(module, tree) != 0:
                print(f"the tests of {module} fail without any bug; see to them first")
                return 1
        for mutant in chosen:
            result = verdict(mutant, tree)
            killed += result == "killed"
            print(f"{mutant.module:9} {mutant.bug:45} {result}", flush=True)
    print(f"{killed} of {len(chosen)} killed")
    return 0 if killed == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
