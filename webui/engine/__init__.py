"""Pictures from requests. Knows nothing of Gradio, HTTP, users or `outputs/`. The only level that imports torch."""
