"""Write the vectors of the core's formats, from fixed seeds: tests/vectors/*-v1.

A vector is header lines `name: value`, a blank line and the bytes to read, exactly as they are. Each
negative, `<subject>_<defect>`, differs from its positive by one defect. `expect` is `success` or the
code of the error. docs/format.md lists the headers. What stands in tests/vectors/frozen was made once by
the code that was shipped, with real randomness; it is never made again and must open for ever.
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vectors.common import Vectors, seal_with_fixed_randomness  # noqa: E402
from vectors.envelopes import envelope_vectors  # noqa: E402
from vectors.frozen import frozen_vectors  # noqa: E402
from vectors.grants import device_key_vectors, grant_vectors  # noqa: E402
from vectors.policies import policy_vectors, share_vectors  # noqa: E402
from vectors.requests import request_vectors  # noqa: E402
from vectors.rules import rule_vectors  # noqa: E402
from vectors.slots import slot_vectors  # noqa: E402
from vectors.terms import recipient_vectors, terms_vectors  # noqa: E402

from custodian.sealing import PublicKey  # noqa: E402

TARGET = ROOT / "tests" / "vectors"

FORMATS: dict[str, Callable[[], Vectors]] = {
    "policy-v1": policy_vectors,
    "share-v1": share_vectors,
    "envelope-v1": envelope_vectors,
    "slot-v1": slot_vectors,
    "terms-v1": terms_vectors,
    "recipient-v1": recipient_vectors,
    "request-v1": request_vectors,
}


def write(target: Path, vectors: Vectors) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        path.unlink()
    for name, data in vectors.items():
        (target / name).write_bytes(data)
    print(f"{target.name}: {len(vectors)}")


def main() -> int:
    target = Path(sys.argv[1]) if sys.argv[1:] else TARGET
    if not (TARGET / "frozen").exists():
        write(TARGET / "frozen", frozen_vectors())
    PublicKey.seal = seal_with_fixed_randomness  # type: ignore[method-assign]
    vectors = {name: make() for name, make in FORMATS.items()}
    vectors["envelope-v1"] |= rule_vectors()  # last: randomness is one stream, and earlier vectors stay
    vectors |= {"device-key-v1": device_key_vectors(), "grant-v1": grant_vectors()}
    for name, made in vectors.items():
        write(target / name, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
