"""The entry point of our own project: our factories, and runwright's."""

from runwright import app

# Tab completion works on scripts that mention @hydra.main.

if __name__ == "__main__":
    app.main(factories=["models"])
