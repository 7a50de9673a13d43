"""What is Glasstune made of? docs/sbom.json, a bill of materials in CycloneDX's form, from the files that say so.

python scripts/sbom.py           writes it
python scripts/sbom.py --check   status 1 if it is behind, or a vendored file is not what it was

The packages are those of pyproject.toml, in the versions of constraints.txt that the suite is run with; the files are
those of others that lie in this project, with their digests, which stand in VENDORED too: who changes one must say so.
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
BILL = ROOT / "docs" / "sbom.json"
# Files of others: which project and version they are from, its licence, and the first digits of their SHA-256.
VENDORED = {
    "animations/studio/reveal/reveal.js": ("reveal.js", "6.0.2", "MIT", "aa1bbbf2617b23a6"),
    "animations/studio/reveal/reveal.css": ("reveal.js", "6.0.2", "MIT", "615ee850cbbb98a0"),
    "animations/studio/reveal/notes.js": ("reveal.js", "6.0.2", "MIT", "447c42f365876e41"),
    "tests/lessons/site/axe.min.js": ("axe-core", "4.14.1", "MPL-2.0", "29348999450cdf28"),
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def altered() -> list[str]:
    """Vendored files that are not what VENDORED says."""
    return [file for file, (*_, known) in VENDORED.items() if not digest(ROOT / file).startswith(known)]


def needed() -> dict[str, str]:
    """Every package that the project or one of its extras asks for -> "required", or "optional" for an extra's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [one for extra in project["optional-dependencies"].values() for one in extra]
    asked = {"required": project["dependencies"], "optional": optional}
    found: dict[str, str] = {}
    for scope, requirements in asked.items():
        for requirement in requirements:
            name = re.match(r"[A-Za-z0-9_.-]+", requirement)
            if name and name[0] != project["name"]:
                found.setdefault(_plain(name[0]), scope)
    return found


def _plain(name: str) -> str:
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill() -> str:
    pins = [
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if re.match(r"\w.*==", line)
    ]
    versions = {_plain(name): version.split()[0] for name, version in pins}
    packages = [
        {"type": "library", "name": name, "scope": scope, **({"version": versions[name]} if name in versions else {}),
         "purl": f"pkg:pypi/{name}" + (f"@{versions[name]}" if name in versions else "")}
        for name, scope in sorted(needed().items())
    ]  # fmt: skip
    files = [
        {"type": "file", "name": file, "version": version, "description": f"a file of {project}",
         "licenses": [{"license": {"id": licence}}], "hashes": [{"alg": "SHA-256", "content": digest(ROOT / file)}]}
        for file, (project, version, licence, _) in sorted(VENDORED.items())
    ]  # fmt: skip
    about = {"type": "application", "name": "glasstune", "licenses": [{"license": {"id": "MIT"}}]}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": about},
                "components": [*packages, *files]}  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def main() -> int:
    if wrong := altered():
        print(f"altered: {', '.join(wrong)}; if that is meant, say their digests in scripts/sbom.py", file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        BILL.write_text(bill(), encoding="utf-8")
    elif not BILL.exists() or BILL.read_text(encoding="utf-8") != bill():
        print("docs/sbom.json is behind; run python scripts/sbom.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
