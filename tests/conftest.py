"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# Tests time nothing: on a busy machine these two would fail for the clock's sake.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
