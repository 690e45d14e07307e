"""Results for people: terminal, tables, Markdown, HTML, and what is sent to trackers."""
