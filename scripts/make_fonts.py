"""Make the two fonts of the pages: subset, with the weights in use, so that a first visit stays small.

Reads the WOFF2 files of two npm packages (see scripts/make-fonts) and writes WOFF2 and licences to
custodian/web/static/fonts. The same input and tools give the same bytes.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

TARGET = Path(__file__).parent.parent / "custodian" / "web" / "static" / "fonts"
# ASCII and the punctuation of our own sentences; other scripts fall back to the fonts of the device.
LETTERS = "".join(map(chr, range(0x20, 0x7F))) + "\u00a0·×–—‘’“”…→−"  # noqa: RUF001 - these very ones


@dataclass(frozen=True)
class Font:
    package: str
    file: str
    weights: tuple[int, int]
    features: tuple[str, ...]


FONTS = {
    "inter": Font("inter", "inter-latin-wght-normal.woff2", (400, 650), ("kern", "tnum", "calt", "ccmp")),
    "newsreader": Font(
        "newsreader", "newsreader-latin-wght-normal.woff2", (400, 600), ("kern", "liga", "lnum")
    ),
}


def make(name: str, font: Font, packages: Path) -> int:
    """Write one font and its licence; return its size in bytes."""
    package = packages / font.package
    whole = TTFont(package / "files" / font.file)
    options = Options()
    options.layout_features = list(font.features)
    options.hinting = False
    options.notdef_outline = True
    options.recalc_timestamp = False
    subsetter = Subsetter(options)
    subsetter.populate(text=LETTERS)
    subsetter.subset(whole)
    small = instantiateVariableFont(whole, {"wght": font.weights})
    small.flavor = "woff2"
    path = TARGET / f"{name}.woff2"
    small.save(path, reorderTables=True)
    (TARGET / f"{name}.LICENSE.txt").write_text((package / "LICENSE").read_text())
    return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/make-fonts", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "packages", type=Path, help="a folder with the unpacked packages inter and newsreader"
    )
    packages = parser.parse_args().packages
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, font in FONTS.items():
        print(f"{name}: {make(name, font, packages)} bytes")


if __name__ == "__main__":
    main()
