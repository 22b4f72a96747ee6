"""The command `webui`: one file per subcommand. `webui --help` imports neither torch nor gradio."""
