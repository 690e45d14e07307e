"""The workflow's steps (Fig. 5), its candidates and its end, as functions of what is known."""
