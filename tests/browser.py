"""A page opened in headless Chromium, driven by a script put into a copy of it.

Without Chromium such a test is skipped, and the end of the test session says so (`conftest.pytest_terminal_summary`).
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
    "--virtual-time-budget=20000",
)  # fmt: skip
PATIENCE = 120.0
ABSENT = f"no browser: none of {', '.join(NAMES)} is installed"
# Before the page's own scripts, so that no error is missed.
LISTENER = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => problems.push(`blocked ${event.blockedURI}`));
for (const kind of ["error", "warn"]) console[kind] = (...words) => problems.push(words.join(" "));
</script>"""


def drive(folder: Path, page: str, script: str, *, width: int = 1200) -> Any:
    """Returns what `script`, the body of a function, returns in the opened page, having seen that nothing went wrong.

    `problems` are errors and warnings on the console, and what the content security policy blocked.
    """
    report = (
        f"<script>const answer = (() => {{{script}}})();\n"
        + """
const place = document.createElement("pre");
place.id = "answer";
place.textContent = JSON.stringify({ answer, problems });
document.body.append(place);
</script>"""
    )
    driven = page.replace("<head>", f"<head>{LISTENER}", 1).replace("</body>", f"{report}</body>", 1)
    path = folder / "driven.html"
    path.write_text(driven, encoding="utf-8")
    dom = _chromium(folder, f"--window-size={width},900", "--dump-dom", path.as_uri())
    found = re.search(r'<pre id="answer">(.*?)</pre>', dom, re.DOTALL)
    assert found, f"the script did not end: {dom[-2000:]}"
    told = json.loads(html.unescape(found[1]))
    assert told["problems"] == []
    return told["answer"]


def _chromium(folder: Path, *arguments: str) -> str:
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(ABSENT)
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run([program, *FLAGS, profile, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout
