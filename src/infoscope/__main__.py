"""`python -m infoscope` is the command line."""

from infoscope.cli import main

if __name__ == "__main__":
    main()
