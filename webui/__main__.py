"""`python -m webui` is `webui`."""

from webui.cli.main import main

if __name__ == "__main__":
    main()
