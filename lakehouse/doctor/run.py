"""Which checks there are, and running them so that one that breaks does not hide the others."""

from collections.abc import Sequence

from lakehouse import layers
from lakehouse.doctor import machine, packages, warehouse
from lakehouse.doctor.check import Check, Finding, problem
from lakehouse.errors import LakeError
from lakehouse.settings import Settings

_MACHINE = (
    Check("Python", machine.python),
    Check("disk", machine.disk),
    Check("memory", machine.memory),
    Check("folders", machine.folders),
)


def quick_checks() -> tuple[Check, ...]:
    """What must be right before anything long begins; takes milliseconds."""
    return _MACHINE


def kernel_checks() -> tuple[Check, ...]:
    """Every check of the kernel, in the order they are shown."""
    return (
        *_MACHINE,
        Check("UI port", machine.ui_port),
        Check("dbt", packages.dbt_core),
        Check("packages", packages.locked),
        Check("pairs", packages.pairs),
        Check("published file", warehouse.published),
        Check("build file", warehouse.build),
        Check("Kafka", machine.kafka),
    )


def all_checks() -> tuple[Check, ...]:
    """The kernel's checks, those of the layers, and one for each layer that cannot be imported."""
    contributed, broken = layers.call_all(layers.CHECKS)
    others = (layers.COMMANDS, layers.DEFAULT_SOURCE, layers.DEMO)
    unusable = [*broken, *(layer for group in others for layer in layers.load(group).broken)]
    return (
        *kernel_checks(),
        *(check for checks in contributed for check in checks),
        *(_broken(layer) for layer in {layer.value: layer for layer in unusable}.values()),
    )


def run_checks(
    settings: Settings, checks: Sequence[Check] | None = None
) -> list[tuple[Check, Finding]]:
    """Run checks one after the other.

    Args:
        settings: The project.
        checks: Which; every one there is if None.

    Returns:
        Each check with what it found.
    """
    chosen = all_checks() if checks is None else checks
    return [(check, _look(check, settings)) for check in chosen]


def _look(check: Check, settings: Settings) -> Finding:
    try:
        return check.run(settings)
    except LakeError as error:
        return problem(error.cause, error.next_step)
    except Exception as error:
        # A doctor that falls over cannot say what is wrong with the others.
        return problem(f"the check itself failed ({layers.first_line(error)})", "run `make env`")


def _broken(layer: layers.BrokenLayer) -> Check:
    return Check(f"layer {layer.name}", lambda settings: problem(str(layer), "run `make env`"))
