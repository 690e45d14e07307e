"""The analyses, one module per question: `run(params, report, folder) -> frozen result`; listed in `schema.analyses`."""
