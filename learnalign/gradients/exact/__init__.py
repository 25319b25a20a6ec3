"""Gradients without projection: exact alignment, and the yardstick of every projection."""
