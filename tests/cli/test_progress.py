"""The progress bar, as a terminal shows it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from caffe_fcn.cli import progress
from caffe_fcn.cli.progress import copying, looking, sections
from caffe_fcn.page.records import Section

_CODE = re.compile(r"\033\[(\?25[hl]|A|2K)|([\r\n])|([^\033\r\n]+)")


class Terminal:
    """A stream that people look at: it keeps what was written, and can say what is seen then."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """The lines that are seen, by the few codes that a bar needs; any other is an error."""
        seen, row, column = [""], 0, 0
        for found in _CODE.finditer(self.written):
            code, move, text = found.groups()
            if code == "A":
                row -= 1
            elif code == "2K":
                seen[row] = ""
            elif move:
                row, column = row + (move == "\n"), 0
                seen += [""] * (row + 1 - len(seen))
            elif text:
                seen[row] = seen[row].ljust(column)[:column] + text + seen[row][column + len(text) :]
                column += len(text)
        assert _CODE.sub("", self.written) == ""
        return [line.rstrip() for line in seen]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))  # pytest changes that of sys itself
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def test_pictures_are_counted(terminal: Terminal) -> None:
    with looking("a/long/way/to/a\033[31m/street.png", 1200, quiet=False) as done:
        for _ in range(300):
            done()
        assert terminal.lines == ["…ng/way/to/a?[31m/street.png  [#####---------------]  300/1200"]
        assert max(map(len, terminal.lines)) < 80


def test_what_follows_a_bar_begins_a_line(terminal: Terminal) -> None:
    with looking("street.png", 2, quiet=False) as done:
        done()
        done()
        assert terminal.lines == ["", ""]
        terminal.write("note: printed before the bar is left\n")
    assert terminal.lines[0] == "note: printed before the bar is left"
    assert terminal.written.rfind("\033[?25h") > terminal.written.rfind("\033[?25l")


def test_bytes_are_counted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with copying(200 << 20, quiet=False) as written:
        assert written is not None
        written(50 << 20)
        assert terminal.lines == ["copying weights  [#####---------------]  50 of 200 MiB"]
        written(150 << 20)
        assert terminal.lines == ["copying weights  [###############-----]  150 of 200 MiB"]
    assert terminal.lines == ["", ""]


def test_sections_of_a_page_have_a_bar_each(terminal: Terminal) -> None:
    with sections(quiet=False) as tell:
        tell(Section.WEIGHTS, 1, progress._FROM - 1)
        assert terminal.written == ""
        tell(Section.WEIGHTS, 150 << 20, 200 << 20)
        assert terminal.lines == ["looking at weights  [###############-----]  150 of 200 MiB"]
        tell(Section.ACTIVATIONS, 0, 80 << 20)  # the section before was left out in the middle
        assert terminal.lines[0] == "computing activations  [--------------------]  0 of 80 MiB"
        tell(Section.ACTIVATIONS, 80 << 20, 80 << 20)
        assert terminal.lines == ["", ""]
        tell(Section.DENSE, 2, 4)
        assert terminal.lines[0] == "computing the map  [##########----------]  2/4"
    assert terminal.lines == ["", ""]


def test_an_error_takes_the_bar_away(terminal: Terminal) -> None:
    with pytest.raises(OSError, match="full"), copying(200 << 20, quiet=False) as written:
        assert written is not None
        written(50 << 20)
        raise OSError("full")
    assert terminal.lines == ["", ""]


def test_nobody_looks(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with copying(200 << 20, quiet=True) as quiet, copying(progress._FROM - 1, quiet=False) as short:
        assert quiet is None and short is None
    with looking("street.png", 1, quiet=False) as done:
        done()
    with sections(quiet=True) as tell:
        tell(Section.ACTIVATIONS, 0, 1 << 30)
    monkeypatch.setenv("TERM", "dumb")
    with copying(200 << 20, quiet=False) as dumb, looking("street.png", 9, quiet=False) as done:
        assert dumb is None
        done()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    with copying(200 << 20, quiet=False) as piped:
        assert piped is None
    assert terminal.written == ""
