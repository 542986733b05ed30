"""The generated pages say what the code says, and the written ones point to things that are there."""

import importlib
import re

import pytest

from tests.fences import MODULES, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def states():
    spec = importlib.util.spec_from_file_location("draw_states", ROOT / "docs" / "draw_states.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawn_states_are_current():
    """docs/states.md is what the tables are (`make docs` writes it)."""
    assert states().PAGE.read_text(encoding="utf-8") == states().page()


def test_every_table_is_drawn():
    """A new state machine can't be forgotten."""
    draw = states()
    drawn = {id(getattr(importlib.import_module(module), name)): name for _, module, name in draw.TABLES}
    found = {}
    for path in MODULES:
        if path.parts[0] in ("actors", "messages"):
            module = importlib.import_module(".".join(path.with_suffix("").parts))
            found |= {id(value): name for name, value in vars(module).items() if draw.is_table(value)}
    assert found == drawn


def test_every_state_of_a_table_can_be_reached_and_left():
    """From the first state of each table a path leads to every other, and from each to an end."""
    draw = states()
    for _, module, name in draw.TABLES:
        table = getattr(importlib.import_module(module), name)
        assert set(table) == set(type(next(iter(table)))), name
        reached, ends = {next(iter(table))}, set(draw.ends(table))
        for _ in table:
            reached |= {after for state in reached for after in table[state].values()}
            ends |= {state for state, steps in table.items() if ends & set(steps.values())}
        assert reached == set(table), name
        assert ends == set(table), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page):
    """Relative links, and files named in code marks, exist."""
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = [name for name in re.findall(r"`([\w./-]+\.(?:py|md|jsonl|toml|txt))`", text) if "/" in name]
    assert [name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()] == []


def test_every_page_is_found_from_the_readme():
    """No page of docs/ is an island."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []


def test_every_dependency_has_its_line():
    """docs/dependencies.md names all of requirements*.txt, and nothing else."""
    wanted = set()
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-otlp.txt"):
        lines = (ROOT / file).read_text().splitlines()
        wanted |= {re.split(r"[=\[]", line)[0] for line in lines if line and line[0] not in "#-"}
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([\w.-]+) \|", text, re.MULTILINE)) - {"library"} == wanted


def test_pinned():
    """Every requirement names one version."""
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-otlp.txt"):
        for line in (ROOT / file).read_text().splitlines():
            assert not line or line[0] in "#-" or re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line), line


def test_no_path_of_a_machine():
    """The pages speak of the project, not of where it was written."""
    for page in PAGES:
        assert not re.search(r"/(?:root|home|work)/", page.read_text(encoding="utf-8")), page
