"""What `python main.py` does."""
