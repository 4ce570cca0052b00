"""Show a record: a table in the terminal, an HTML report that works offline, JSON for programs."""

from infoscope.report.html import write_html
from infoscope.report.table import json_text, show

__all__ = ["json_text", "show", "write_html"]
