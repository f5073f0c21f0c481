"""The entry point: `python main.py --help` lists what can be chosen."""

from runwright import app

# Tab completion works on scripts that mention @hydra.main.

if __name__ == "__main__":
    app.main(factories=["project_name"])
