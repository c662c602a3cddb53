"""Settings: found without configuration, overridden by the environment, wrong values are named."""

from pathlib import Path

import pytest

from lakehouse.errors import LakeError
from lakehouse.settings import load_settings


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LAKE_ROOT", "LAKE_SOURCE_DSN", "LAKE_KEEP_VERSIONS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "dbt_project").mkdir()
    (tmp_path / "dbt_project" / "dbt_project.yml").touch()
    return tmp_path


def test_the_root_is_the_checkout_around_the_working_directory(checkout: Path) -> None:
    assert load_settings(checkout / "dbt_project").root == checkout
    assert load_settings(checkout).root == checkout


def test_elsewhere_it_is_the_checkout_the_package_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKE_ROOT", raising=False)
    assert (load_settings(tmp_path).root / "lakehouse" / "settings.py").is_file()


def test_the_environment_wins_over_the_file(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".env").write_text("LAKE_SOURCE_DSN=from-file\nLAKE_KEEP_VERSIONS=4\n")
    monkeypatch.setenv("LAKE_SOURCE_DSN", "from-environment")
    settings = load_settings(checkout)
    assert (settings.source_dsn, settings.keep_versions) == ("from-environment", 4)


def test_a_password_in_the_dsn_is_not_shown(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_SOURCE_DSN", "postgresql://u:secret@h/d")
    assert "secret" not in repr(load_settings(checkout))


def test_a_wrong_value_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_KEEP_VERSIONS", "none")
    with pytest.raises(LakeError, match="LAKE_KEEP_VERSIONS='none'"):
        load_settings(checkout)
