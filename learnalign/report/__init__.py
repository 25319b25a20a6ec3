"""What a run shows a reader: the report, one HTML page, and the plots of `eval` and `compare`. Nothing here needs a network.

gather, columns, cosines   what is shown, read from the run directory
answer, sections, examples, matrices, versus   the parts of the page
svg, charts, plots         plots as SVG
paper_page                 the page of a paper's table
rows, page, page.*         the table's compressed blocks; the page itself
"""

from learnalign.report.page import write_report
from learnalign.report.paper_page import write_page as write_paper_page
from learnalign.report.plots import plot_curves, plot_norms

__all__ = ["plot_curves", "plot_norms", "write_paper_page", "write_report"]
