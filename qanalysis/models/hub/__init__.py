"""`hf:`: networks of Hugging Face, by id or from a folder: files, head, weights, and what prepares inputs."""
