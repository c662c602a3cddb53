"""What is in the repository: no secrets, exact pins, a sound compose file, true indexes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
CHECK_JSONSCHEMA = Path(sys.executable).with_name("check-jsonschema")
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bxox[abpr]-[A-Za-z0-9-]{10,}"
    r"|\bey[JK][A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\."
)


def git(*arguments: str) -> list[str]:
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def compose() -> dict[str, Any]:
    content = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    assert isinstance(content, dict)
    return content


SERVICES = sorted(compose()["services"].items())


def test_no_tracked_file_holds_a_secret() -> None:
    found = []
    for name in git("ls-files"):
        path = REPOSITORY / name
        if path.is_file() and SECRETS.search(path.read_text(encoding="utf-8", errors="ignore")):
            found.append(name)
    assert found == []


def test_what_runs_make_is_ignored_and_only_readmes_are_tracked() -> None:
    made = [".env", ".venv/x", "data/raw/x", "warehouse/lakehouse.duckdb", "dbt_project/target/x"]
    assert git("check-ignore", *made) == made
    assert git("ls-files", "data", "warehouse") == ["data/README.md", "warehouse/README.md"]
    assert git("ls-files", ".env") == []


def test_the_example_environment_has_no_password_and_every_variable_of_the_compose_file() -> None:
    text = (REPOSITORY / ".env.example").read_text()
    assert re.findall(r"^#? ?(LAKE_\w*PASSWORD)=(.*)$", text, re.M) == [
        ("LAKE_POSTGRES_PASSWORD", ""),
        ("LAKE_EXTRACTOR_PASSWORD", ""),
        ("LAKE_KAFKA_SASL_PASSWORD", ""),
    ]
    used = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "docker-compose.yml").read_text()))
    assert used <= set(re.findall(r"^#? ?(LAKE_\w+)=", text, re.M))


def test_the_compose_file_follows_the_specification() -> None:
    done = subprocess.run(
        [CHECK_JSONSCHEMA, "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_each_service_is_pinned_watched_bounded_and_private(
    name: str, service: dict[str, Any]
) -> None:
    assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), "an image without an exact tag"
    assert service["healthcheck"]["test"]
    assert service["mem_limit"]
    assert service["restart"] == "unless-stopped"
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{LAKE_\w+_PORT:-\d+\}:\d+", port), port
    named = set(compose()["volumes"])
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in named, "not a named volume"
    for key, value in service.get("environment", {}).items():
        if "PASSWORD" in key:
            assert re.fullmatch(r"\$\{\w+:(\?.*|-)\}", value), "a password with a default"


def test_both_ways_to_a_real_broker_start_the_same() -> None:
    """Docker's broker and `make kafka-up`'s: one version, one configuration but for the places."""
    folder = REPOSITORY / "streaming" / "kafka"
    service = compose()["services"]["kafka"]
    assert (
        f"<version>{service['image'].split(':')[1]}</version>" in (folder / "pom.xml").read_text()
    )
    text = (folder / "server.properties").read_text()
    plain = dict(re.findall(r"^([a-z.]+)=(.*)$", text, re.M))
    docker = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in service["environment"].items()
    }
    places = {name for name in plain if "listener" in name or "@" in plain[name]}
    assert {name: docker.get(name) for name in plain if name not in places} == {
        name: value for name, value in plain.items() if name not in places
    }
    assert places <= set(docker)


def test_the_lock_pins_everything_by_hash_and_names_no_place() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    pins = re.findall(
        r"^([A-Za-z0-9._-]+)==\S+[^\n]*((?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+)", text, re.M
    )
    named = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\b", text, re.M)
    assert len(pins) == len(named) > 100
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links", text)


def test_the_lock_covers_every_declared_dependency() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    declared = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    text = (REPOSITORY / "requirements.lock").read_text()
    locked = {name.lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.M)}
    names = {re.split(r"[\[<>=~! ;]", one)[0].lower() for one in declared}
    assert names - locked == set()
    assert not [one for one in declared if "@" in one or "://" in one]


def test_every_decision_is_in_the_index_under_its_own_title() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    expected = {}
    for page in sorted(folder.glob("[0-9]*.md")):
        title = page.read_text().splitlines()[0]
        expected[page.name] = re.sub(r"^# \d+\. ", "", title)
    rows = re.findall(r"^\| \[\d+\]\((\S+)\) \| (.*) \|$", (folder / "README.md").read_text(), re.M)
    assert dict(rows) == expected


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for name in git("ls-files", "*.md"):
        text = (REPOSITORY / name).read_text()
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target and not (REPOSITORY / name).parent.joinpath(target).exists():
                broken.append(f"{name}: {target}")
    assert broken == []


def test_make_shows_each_of_its_targets() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.M)
    assert phony is not None
    assert re.findall(r"^  make ([a-z-]+)", shown, re.M) == phony[1].split()
    assert max(map(len, shown.splitlines())) <= 80


def test_make_says_in_a_sentence_that_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.6 && exit\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    done = subprocess.run(
        ["make", "env", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"Error: {old} is not Python 3.11, 3.12 or 3.13" in done.stderr
    assert "Next: install one and run `make env PYTHON=/path/to/it`." in done.stderr
    assert not (tmp_path / ".venv").exists()
