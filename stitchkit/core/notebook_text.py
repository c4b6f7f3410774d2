"""Results in notebooks: what ``print`` shows, in the notebook's own page."""

from __future__ import annotations

from html import escape

STYLE = "font-size: 0.85em; line-height: 1.35; overflow-x: auto; white-space: pre"


def notebook_html(text: str) -> str:
    """``text`` as preformatted HTML."""
    return f'<pre style="{STYLE}">{escape(text)}</pre>'


class NotebookText:
    """Mixin of results whose text is a table or several lines.

    Examples
    --------
    >>> class Result(NotebookText):
    ...     def __str__(self):
    ...         return "AUROC  0.9 < 1"
    >>> Result()._repr_html_().endswith(">AUROC  0.9 &lt; 1</pre>")
    True
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        """The text of the result as preformatted HTML."""
        return notebook_html(str(self))
