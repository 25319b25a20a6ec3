"""What a run shows a reader: plots, each one HTML file that opens offline. plotly is imported when one is drawn."""

from learnalign.report.plots import plot_curves, plot_norms

__all__ = ["plot_curves", "plot_norms"]
