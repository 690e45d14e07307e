"""Streamlit parts that the pages are made of; the only place that imports Streamlit."""
