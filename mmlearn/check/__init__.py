"""The proofs and the exercise checks that notebooks call."""
