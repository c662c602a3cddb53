"""The one kind of error a user sees: a sentence that names the cause and the next command.

Here belongs the base class. A layer subclasses it where callers must tell failures apart.
"""


class LakeError(Exception):
    """A failure the user can act on.

    Args:
        cause: What happened, as a sentence without its final full stop.
        next_step: What to do or run now, as a phrase without its final full stop.
    """

    def __init__(self, cause: str, next_step: str) -> None:
        self.cause = cause.rstrip(".")
        self.next_step = next_step.rstrip(".")
        super().__init__(str(self))

    def __str__(self) -> str:
        return f"{self.cause}. Next: {self.next_step}."
