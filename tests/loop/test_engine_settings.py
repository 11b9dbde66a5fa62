"""What a campaign file may say about engines, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.config import load_settings, parse_settings
from loop.engine_settings import ServerEngine, TransformersEngine, VllmEngine
from store.errors import UsageError


def write(folder: Path, text: str) -> Path:
    file = folder / "campaign.toml"
    file.write_text(f'name = "mine"\n{text}', encoding="utf-8")
    return file


def test_both_roles_sample_with_transformers_unless_told_otherwise(tmp_path: Path) -> None:
    engines = load_settings(write(tmp_path, "[engines.teacher]\n")).engines
    assert (engines.teacher, engines.student) == (TransformersEngine(), TransformersEngine())


def test_each_kind_has_its_own_keys(tmp_path: Path) -> None:
    text = '[engines.teacher]\nkind = "server"\nendpoints = ["http://a:1/v1/"]\n[engines.student]\nkind = "vllm"\n'
    engines = load_settings(write(tmp_path, text), ["engines.student.max_model_len=512"]).engines
    assert engines.teacher == ServerEngine(endpoints=("http://a:1/v1",))
    assert engines.student == VllmEngine(max_model_len=512)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[engines.teacher]\nkind = "cloud"', "`engines.teacher`.*'cloud'.*'transformers', 'vllm', 'server'"),
        ("[engines.teacher]\nmax_model_len = 9", "unknown key `engines.teacher.max_model_len`"),
        ('[engines.student]\nkind = "vllm"\ndevice_map = "auto"', "unknown key `engines.student.device_map`"),
        ('[engines.teacher]\nkind = "server"', "`engines.teacher.endpoints` is missing"),
        ('[engines.teacher]\nkind = "server"\nendpoints = []', "`engines.teacher.endpoints`"),
        ('[engines.teacher]\nkind = "server"\nendpoints = ["a:1"]', "engines.teacher.endpoints.*http://"),
        ('[engines.student]\nkind = "server"\nendpoints = ["http://a:1"]', "each round makes a new student"),
        ('[models]\ndevice = "cpu"\n[engines.teacher]\ndevice_map = "auto"', "engines.teacher.device_map.*'cpu'"),
        ('[engines.teacher]\nadapter = "lora"', "engines.teacher.adapter.*lora holds no adapter_config.json"),
    ],
)
def test_a_wrong_combination_is_refused_by_name(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        load_settings(write(tmp_path, text))


def test_another_adapter_is_another_campaign_and_none_changes_no_identity() -> None:
    def identity(**teacher: str) -> str:
        return parse_settings({"name": "mine", "engines": {"teacher": teacher}}, where="here").identity()

    assert identity() == identity(kind="vllm") == parse_settings({"name": "mine"}, where="here").identity()
    assert len({identity(), identity(adapter="a"), identity(adapter="b")}) == 3


def test_an_adapter_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}", encoding="utf-8")
    settings = load_settings(write(tmp_path, '[engines.student]\nadapter = "lora"'))
    assert settings.engines.student == TransformersEngine(adapter=str(tmp_path / "lora"))
