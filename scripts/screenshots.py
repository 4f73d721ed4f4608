"""Take a picture of every page: desk and phone, light and dark. Started by scripts/screenshots.

A real custodian on a working day (tests/pages/scene.py), looked at with a real Chromium.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "pages")]

from browser import Page, browsing  # noqa: E402
from devtools import CHROMIUM, Chromium  # noqa: E402
from page_owners import sign_in  # noqa: E402
from running import Daemon, World, make_daemon, populate  # noqa: E402
from scene import PAGES, SIGNED_OUT, Scene, play  # noqa: E402
from trusted import Tls  # noqa: E402

SIZES = {"desk": 1280, "phone": 390}
OTHERS = {"setup": "admin", "history": "auditor"}  # who sees most of a page, where that is not alice


async def take(page: Page, url: str, name: str, directory: Path) -> None:
    for size, width in SIZES.items():
        for theme in ("light", "dark"):
            await page.resize(width, 900, dark=theme == "dark")
            await page.goto(url)
            path = directory / f"{name}-{size}-{theme}.webp"
            await page.screenshot(path, width, 900, dark=theme == "dark")
            print(path, flush=True)


async def take_all(scene: Scene, chromium: Chromium, directory: Path, wanted: list[str]) -> None:
    site = f"https://localhost:{urlsplit(scene.world.daemon.url).port}"
    async with browsing(chromium) as browser:
        for name, path in (SIGNED_OUT | PAGES).items():
            if wanted and name not in wanted:
                continue
            page = await (await browser.person()).page()
            await page.authenticator()
            if name in PAGES:
                await sign_in(page, scene.world, site, OTHERS.get(name, "alice"))
            await take(page, site + path.format(waiting=scene.waiting), name, directory)
        if complaints := browser.unexpected():
            raise SystemExit(f"the browser complained: {complaints}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "pages", nargs="*", metavar="PAGE", help=f"of {', '.join(SIGNED_OUT | PAGES)}; else all"
    )
    parser.add_argument("--dir", type=Path, default=ROOT / "docs" / "screenshots")
    options = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("there is no chromium on this machine; `apt-get install chromium` brings it")
    options.dir.mkdir(parents=True, exist_ok=True)
    tls = Tls()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        state = Path(work) / "state"
        make_daemon(state)
        tls.write(state)
        world = populate(World(Daemon(state).start()))
        chromium = Chromium(Path(work) / "chromium", [tls.digest])
        try:
            asyncio.run(take_all(play(world), chromium, options.dir, options.pages))
        finally:
            chromium.stop()
            world.daemon.stop()


if __name__ == "__main__":
    main()
