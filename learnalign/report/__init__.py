



__all__ = ["plot_curves", "plot_norms"]
