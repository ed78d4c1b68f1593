"""One file per model: the recipe by which its checkpoints are trained."""
