"""What a report holds, read as a browser would: elements, texts, tables, blocks."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """The elements of a page, its visible text, and the text of each section and script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.scripts: dict[str, str] = {}
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.tables: dict[str, list[list[list[str]]]] = {}
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self._section = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._open.append((tag, attributes))
        if tag == "section":
            self._section = attributes["id"] or ""
            self.tables[self._section] = []
        if tag == "table":
            self.tables[self._section].append([])
        if tag == "tr":
            self.tables[self._section][-1].append([])
        if tag in ("td", "th"):
            self.tables[self._section][-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script" and attributes.get("id"):
            self.scripts[attributes["id"] or ""] = data
        elif tag in self.inline:
            self.inline[tag].append(data)
        elif self._section:
            self.sections[self._section] = self.sections.get(self._section, "") + data
            if any(name in ("td", "th") for name, _ in self._open):
                self.tables[self._section][-1][-1][-1] += data

    def block(self, name: str) -> Any:
        """The value of a compressed block."""
        return json.loads(gzip.decompress(base64.b64decode(self.scripts[name])))

    def details(self) -> list[dict[str, Any]]:
        """Every prompt's details, in the pool's order."""
        names = [name for name in self.scripts if name.startswith("details-")]
        return [detail for number in range(len(names)) for detail in self.block(f"details-{number}")]

    def index(self) -> dict[str, Any]:
        """The index of all prompts."""
        parts = [self.block(f"index-{i}") for i in range(sum(name.startswith("index-") for name in self.scripts))]
        return {key: [value for part in parts for value in part[key]] for key in parts[0]}
