"""Results as tables, for pages, downloads and reports."""
