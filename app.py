"""Build the demo and serve it: python app.py [--host ADDRESS] [--port NUMBER]"""

from __future__ import annotations

import argparse
import os
import sys

from busi_demo.ui.page import LAUNCH_OPTIONS, build_page

demo = build_page()  # Hugging Face Spaces look for this name


def main() -> None:
    """Serve the page until Ctrl+C."""
    everywhere = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"
    parser = argparse.ArgumentParser(description="Serve the breast ultrasound demo: research, not a medical device.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", everywhere), help="default: %(default)s")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        _, url, _ = demo.launch(
            server_name=arguments.host, server_port=arguments.port, prevent_thread_lock=True, **LAUNCH_OPTIONS
        )
    except OSError as error:
        sys.exit(f"error: {arguments.host}:{arguments.port} cannot be served ({error}): choose another --port.")
    print(f"The demo runs at {url} until Ctrl+C.", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
