"""Reports: results of one model as one document, in HTML that needs nothing else, and in Markdown."""
