"""Holding nodes to what they do: statements, proofs, and doing it again."""
