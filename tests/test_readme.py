"""The documents: their Python runs, what they quote stands in the source, their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(document):
    """(language, file that is quoted or "", first line's number, code) of each fenced block."""
    text = document.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start()) + 1, match[3]


@each_document
def test_python_runs(document, tmp_path, monkeypatch):
    """From top to bottom in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for language, quoted, line, code in blocks(document):
        if language == "python" and not quoted:
            exec(compile("\n" * line + code, str(document), "exec"), namespace)
            # Who runs a block again in the same folder finds its files there.
            for saving in re.findall(r"^\w+\.save\(.*", code, re.MULTILINE):
                exec(saving, namespace)


@each_document
def test_quoted_lines_stand_in_the_source(document):
    for _, quoted, line, code in blocks(document):
        if quoted:
            source = (ROOT / quoted).read_text(encoding="utf-8")
            assert code in source, f"{document.name}, line {line}: not in {quoted} any more"


@each_document
def test_links_within_the_repository_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_there_is_python_to_run():
    for name in ("README.md", "docs/by_hand/lstm.md"):
        languages = [language for language, quoted, _, _ in blocks(ROOT / name) if not quoted]
        assert "python" in languages
