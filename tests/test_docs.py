"""The pages say what the program does: keys, commands, options, and the example of the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from loop.campaign_file import reference
from loop.cli import app
from loop.config import Generation, Synthesis, load_settings
from scripts import make_cli_docs
from store.records import Fate
from tests.conftest import ROOT, deltaloop

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
SHARED_OPTIONS = {"--home", "--ledger"}


def commands() -> dict[str, set[str]]:
    """Each command with its own options, as the program has them."""
    group = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


def sections() -> dict[str, str]:
    """The section of each command on the page."""
    _, *parts = re.split(r"^## `deltaloop (\w+)", COMMANDS, flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_page_of_keys_is_up_to_date() -> None:
    page = (ROOT / "docs" / "campaign_file.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m scripts.make_config_docs"


def test_the_page_of_options_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == make_cli_docs.reference(), "run: python -m scripts.make_cli_docs"


def test_every_key_has_a_meaning() -> None:
    assert [
        line for line in reference().splitlines() if line.startswith("| `") and line.rstrip(" |").endswith("`")
    ] == []


def test_the_page_of_commands_has_every_command_and_no_option_that_is_not_there() -> None:
    assert sections().keys() == commands().keys()
    for name, options in commands().items():
        assert options >= SHARED_OPTIONS, f"{name} takes --home and --ledger"
        assert set(re.findall(r"^- `(--[a-z-]+)", sections()[name], flags=re.M)) <= options, name
    assert all(option in COMMANDS for option in SHARED_OPTIONS)


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert {"run", "test", "test-tools"} <= set(re.findall(r"make ([a-z-]+)", README)) <= targets
    named = set(re.findall(r"deltaloop ([a-z]+)", README))
    assert {"run", "init", "status"} <= named <= commands().keys()


@pytest.mark.parametrize(
    "page", ["README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not ((ROOT / page).parent / link).exists()] == []


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The campaign file of the README, with the files that it needs, and pictures to read."""
    from PIL import Image

    for name, text in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", README, flags=re.S):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for image in re.findall(r"[\w/]+\.png", text):
            picture = path.parent / image
            picture.parent.mkdir(exist_ok=True)
            Image.new("RGB", (96, 96), (0, len(image), 0)).save(picture)
    return tmp_path / "mine" / "campaign.toml"


def test_the_example_of_the_readme_loads(example: Path) -> None:
    settings = load_settings(example)
    assert Path(settings.pool.source).name == "prompts.jsonl"
    assert settings.evaluation.main == ("charts", "receipts")


@pytest.mark.slow
def test_the_example_of_the_readme_runs_with_a_pair_of_folders(example: Path) -> None:
    folders = {role: ROOT / "loop" / "embedded" / role for role in ("teacher", "student")}
    changed = [f"models.{role}={folder}" for role, folder in folders.items()]
    changed += ["models.dtype=float32", "training.steps=2", "training.max_tokens=8", "sampling.max_tokens=8"]
    options = [word for change in changed for word in ("--set", change)]
    home = example.parent / "home"
    done = deltaloop("run", example, "--rounds", "1", *options, "--home", home)
    assert done.code == 0, done.err
    assert "round 1: " in done.out


def test_the_page_on_synthesis_names_the_keys_fates_and_templates_that_there_are() -> None:
    page = (ROOT / "docs" / "synthesis.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:generation|synthesis)\.([a-z_]+)", page)
    assert set(named) <= {*Generation.model_fields, *Synthesis.model_fields}
    assert {"contrasts", "questions", "merge_cosine", "charts", "max_tokens", "batch", "suffix"} <= set(named)
    assert {f"`{fate}`" for fate in Fate} <= set(re.findall(r"`[a-z_]+`", page))
    files = {path.name for path in (ROOT / "loop" / "templates").glob("*.jinja")}
    assert set(re.findall(r"`([a-z_]+\.jinja)`", page)) == files


def test_the_campaign_of_the_page_on_synthesis_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "synthesis.md").read_text(encoding="utf-8")
    (tmp_path / "my_templates").mkdir()
    for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page, flags=re.S)):
        file = tmp_path / f"{number}.toml"
        file.write_text(f'name = "mine"\n{text}', encoding="utf-8")
        assert load_settings(file).generation != Generation()
