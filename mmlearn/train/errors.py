"""The two ways in which a run cannot go on."""


class TrainingStopped(RuntimeError):
    """Training cannot go on: one sentence with the step and the last good state."""


class ResumeError(ValueError):
    """A saved run that cannot be gone on with: one sentence why, and what to do."""
