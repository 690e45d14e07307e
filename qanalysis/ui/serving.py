"""How the dashboard is served: its script, what is done at the start, headers and files of its own.

Streamlit takes a file for an app only where `#: The arguments of `st.App` after the script.
SERVING: dict[str, Any] = {
    "lifespan": lifespan,
    "middleware": [Middleware(Headers)],
    "routes": [Mount(f"/{PLOTLY_ROUTE}", StaticFiles(directory=Path(plotly.__file__).parent / "package_data"))],
}
