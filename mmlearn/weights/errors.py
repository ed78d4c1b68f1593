"""The one exception of this part."""


class WeightsError(ValueError):
    """Weights that cannot be found, trusted, fitted or saved: one sentence why."""
