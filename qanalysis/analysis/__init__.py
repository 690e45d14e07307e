"""The analyses, one module a question: `run(params, report, folder) -> result`; `schema.analyses` lists them."""
