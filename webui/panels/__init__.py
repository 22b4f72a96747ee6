"""The page: the only level that imports gradio."""
