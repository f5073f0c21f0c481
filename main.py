"""Run what the command line describes: `python main.py --help` shows all that can be chosen."""

from runwright import app

if __name__ == "__main__":
    app.main()
