"""The analyses, one module a question: `run(params, report, folder) -> result`; they are listed in `schema.analyses`."""
