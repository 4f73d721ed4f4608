"""The pages: rendered here, readable without scripts, live with one stream; they show what the API tells."""
