"""`python -m webui` is `webui`."""

from webui.cli import main

if __name__ == "__main__":
    main()
