"""What an installed package starts; in a folder of its own, since Streamlit puts that folder on the import path."""
