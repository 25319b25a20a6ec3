"""Gradients without projection: exact alignment (`grad.projection: exact`), and the yardstick of every projection.

alignment (two passes over samples), stage (both over a run, kept on disk), comparison (`grad --verify`).
"""
