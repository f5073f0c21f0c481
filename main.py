"""Run what the command line describes: `python main.py --help` shows all that can be chosen."""

from runwright import app

# Tab completion works on scripts that mention @hydra.main, so this comment is needed:
#   eval "$(python main.py --shell-completion install=bash)"

if __name__ == "__main__":
    app.main()
