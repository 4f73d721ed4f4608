"""What each call of `/api/v1` does, by what it is about; `api.py` puts them in one table."""
