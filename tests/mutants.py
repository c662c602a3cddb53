"""Plants mistakes into the SQL of the shop, one at a time, and asks whether somebody notices.

``make mutants`` runs it: each mutant is a copy of the dbt project with one change, built and tested
by ``tests/dbt/test_shop_models.py`` (a real ``dbt build`` with its data and unit tests, then what
the models must hold). A mutant that survives shows a missing assertion. It takes about fifteen
seconds a mutant; ``--sample 30`` tries some, ``--only NAME`` those whose name has it.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = REPOSITORY / "dbt_project"
TESTS = ("tests/dbt/test_shop_models.py",)
MODELS = (
    "models/staging/shop/*.sql",
    "models/intermediate/shop/*.sql",
    "models/quarantine/shop/quarantine_*.sql",
    "models/marts/shop/*.sql",
)
MACROS = (
    "macros/history/*.sql",
    "macros/keys/*.sql",
    "macros/raw/new_commits.sql",
    "macros/sales/*.sql",
)
RULES = ("models/staging/shop/_shop__sources.yml",)

COLUMN = re.compile(r"^ {8}(\w+),?$", flags=re.MULTILINE)
PREDICATES = (
    (r" = ", " <> "),
    (r" <> ", " = "),
    (r" >= ", " > "),
    (r" > ", " >= "),
    (r" <= ", " < "),
    (r" < ", " <= "),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bis null\b", "is not null"),
    (r"\bis not null\b", "is null"),
    (r"\bnot (is_deleted)\b", r"\1"),
    (r"\binner join\b", "left join"),
    (r"\bleft join\b", "inner join"),
    (r"\basc\b", "desc"),
    (r"\blag\(", "lead("),
    (r"\blead\(", "lag("),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
)
# Where the change means the same, or nothing that the shop's models can tell; each with its reason.
EQUIVALENT = (
    (r"nulls (first|last)", "no NULL is ordered there"),
    (r"inner join (campaigns|dates|customers)$", "every receipt has these members, by its tests"),
    (r"least\(|greatest\(", "the calendar's bounds are a constant's, not a rule's"),
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file: the text between two offsets becomes another."""

    path: str
    start: int
    end: int
    text: str
    line: int

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.text.strip()}"


def mutants() -> list[Mutant]:
    """Every change there is, in a fixed order."""
    found: list[Mutant] = []
    for pattern in MODELS:
        for path in sorted(PROJECT.glob(pattern)):
            found += _swapped_columns(path)
    for pattern in (*MODELS, *MACROS, *RULES):
        for path in sorted(PROJECT.glob(pattern)):
            found += _changed_predicates(path)
    return found


def _swapped_columns(path: Path) -> Iterator[Mutant]:
    """A passed-through column that holds what the next one should."""
    text = path.read_text(encoding="utf-8")
    columns = list(COLUMN.finditer(text))
    for column, following in pairwise(columns):
        if text.count("\n", column.end(), following.start()) > 3:
            continue  # another select
        swapped = f"        {following[1]} as {column[1]}{',' if column[0].endswith(',') else ''}"
        yield _mutant(path, text, column.start(), column.end(), swapped)


def _changed_predicates(path: Path) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    is_rule = path.suffix == ".yml"
    for line in re.finditer(r"^.*$", text, flags=re.MULTILINE):
        code = line[0]
        if re.match(r"\s*(--|\{#|\{%|\{\{ config)", code) or _in_comment(text, line.start()):
            continue
        if is_rule and "expect:" not in code:
            continue
        if any(re.search(pattern, code) for pattern, _ in EQUIVALENT):
            continue
        for pattern, replacement in PREDICATES:
            for hit in re.finditer(pattern, code):
                changed = hit.expand(replacement)
                start, end = line.start() + hit.start(), line.start() + hit.end()
                yield _mutant(path, text, start, end, changed)


def _in_comment(text: str, offset: int) -> bool:
    return text.rfind("{#", 0, offset) > text.rfind("#}", 0, offset)


def _mutant(path: Path, text: str, start: int, end: int, changed: str) -> Mutant:
    line = text.count("\n", 0, start) + 1
    return Mutant(str(path.relative_to(PROJECT)), start, end, changed, line)


def is_caught(mutant: Mutant) -> bool:
    """Whether the tests fail on a copy of the project with this change."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        project = Path(folder) / "dbt_project"
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
        path = project / mutant.path
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: mutant.start] + mutant.text + text[mutant.end :], encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "LAKE_TEST_PROJECT": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests could not run: {done.stdout[-2000:]}")
    return done.returncode == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="try so many, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="try those whose name has this")
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants() if options.only in mutant.name]
    total = len(chosen)
    if options.sample and options.sample < total:
        chosen = random.Random(options.seed).sample(chosen, options.sample)
    survivors = []
    for number, mutant in enumerate(chosen, 1):
        caught = is_caught(mutant)
        survivors += [] if caught else [mutant]
        print(
            f"{number}/{len(chosen)} {'caught' if caught else 'SURVIVED'} {mutant.name}", flush=True
        )
    share = 1 - len(survivors) / max(1, len(chosen))
    print(f"{share:.1%} of {len(chosen)} mutants caught ({total} there are)")
    sys.exit(bool(share < 0.95))


if __name__ == "__main__":
    main()
